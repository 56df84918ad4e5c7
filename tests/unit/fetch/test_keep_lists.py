"""What must stay, as several keepers of one cache say it."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from hfmodel_runtime.fetch.cache import Entry
from hfmodel_runtime.fetch.keep import (
    KeepList,
    Kept,
    drop_keeper,
    keep_lists,
    keepers_of,
    parse_kept,
    write_keep_list,
)
from hfmodel_runtime.fetch.limits import Limits, limits_from

ROOT = Path("/cache")
COMMIT, OTHER = "a" * 40, "b" * 40
HOUR = 3600.0


def entry(name: str, key: str = COMMIT) -> Entry:
    return Entry(ROOT, name, key)


def say(root: Path, keeper: str, as_of: float, *names: str) -> None:
    kept = frozenset(Kept(name) for name in names)
    write_keep_list(root, KeepList(keeper=keeper, as_of=as_of, kept=kept))


def kept_names(root: Path) -> dict[str, list[str]]:
    return {name: list(keepers_of(entry(name), keep_lists(root))) for name in ("a", "b", "c")}


@pytest.mark.parametrize(
    ("text", "kept", "not_kept"),
    [
        pytest.param("org/a", [entry("org--a"), entry("org--a", OTHER)], [entry("org--b")], id="repo"),
        pytest.param("gpt2", [entry("gpt2")], [entry("org--gpt2")], id="repo-without-owner"),
        pytest.param(f"org/a@{COMMIT}", [entry("org--a")], [entry("org--a", OTHER), entry("b")], id="commit"),
        pytest.param(f"org/a@{COMMIT}", [entry("org--a", f"{COMMIT}-code")], [], id="commit-with-code"),
        pytest.param("org/a@main", [entry("org--a"), entry("org--a", OTHER)], [], id="branch"),
        pytest.param(f"/cache/models/org--a/{COMMIT}", [entry("org--a")], [entry("org--a", OTHER)], id="path"),
        pytest.param(f"/cache/models/org--a/{COMMIT}-code", [entry("org--a")], [], id="path-with-code"),
        pytest.param(
            "/cache/models/local--m/0123456789abcdef", [entry("local--m", "0123456789abcdef")], [], id="local"
        ),
    ],
)
def test_what_is_kept_can_be_named(text: str, kept: list[Entry], not_kept: list[Entry]) -> None:
    found = parse_kept(text, root=ROOT)
    assert found is not None
    assert [each for each in kept if not found.covers(each)] == []
    assert [each for each in not_kept if found.covers(each)] == []


@pytest.mark.parametrize("text", ["", "@main", "/cache/models/a", "/cache", "/cache/staging/a/b", "a b"])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_kept(text, root=ROOT)


def test_a_model_that_is_served_where_it_is_needs_no_keeping() -> None:
    assert parse_kept("/source/models/a/b", root=ROOT) is None
    assert limits(keeper="me", keep=["/source/models/a/b", "org/a"]).keep == KeepList(
        keeper="me", as_of=0.0, kept=frozenset({Kept("org--a")})
    )


def test_every_keeper_has_its_say(tmp_path: Path) -> None:
    assert keep_lists(tmp_path) == []
    say(tmp_path, "one", 10 * HOUR, "a", "b")
    say(tmp_path, "up:/home/me/models", HOUR, "b")
    assert kept_names(tmp_path) == {"a": ["one"], "b": ["one", "up:/home/me/models"], "c": []}


def test_a_newer_list_replaces_the_older_one(tmp_path: Path) -> None:
    say(tmp_path, "one", HOUR, "a", "b")
    say(tmp_path, "one", 2 * HOUR, "b", "c")
    assert kept_names(tmp_path) == {"a": [], "b": ["one"], "c": ["one"]}
    assert len(list((tmp_path / "keepers" / "one").iterdir())) == 1


def test_a_list_that_comes_late_takes_nothing_back(tmp_path: Path) -> None:
    say(tmp_path, "one", 2 * HOUR, "b")
    say(tmp_path, "one", HOUR, "a")
    assert kept_names(tmp_path) == {"a": [], "b": ["one"], "c": []}


def test_lists_of_about_one_time_all_count_since_clocks_differ(tmp_path: Path) -> None:
    say(tmp_path, "one", HOUR, "a")
    say(tmp_path, "one", HOUR - 2, "b")
    say(tmp_path, "one", HOUR + 2, "c")
    assert kept_names(tmp_path) == {"a": ["one"], "b": ["one"], "c": ["one"]}


def test_where_a_list_cannot_be_read_everything_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    say(tmp_path, "one", HOUR, "a")
    (path,) = (tmp_path / "keepers" / "one").iterdir()
    path.write_text("{")
    assert kept_names(tmp_path) == {"a": ["one"], "b": ["one"], "c": ["one"]}
    assert "everything stays" in caplog.text


def test_a_keeper_that_is_dropped_keeps_nothing(tmp_path: Path) -> None:
    say(tmp_path, "a/b", HOUR, "a")
    say(tmp_path, "..", HOUR, "b")
    for keeper in ("a/b", ".."):
        drop_keeper(tmp_path, keeper)
    assert kept_names(tmp_path) == {"a": [], "b": [], "c": []}
    assert tmp_path.is_dir()


# As options and variables say it


def limits(*, env: dict[str, str] | None = None, **given: Any) -> Limits:
    options = {"cache_limit": None, "keeper": None, "keep": None, "keep_as_of": "0", "cache_dir": ROOT, **given}
    return limits_from(argparse.Namespace(**options), env or {})


def test_nothing_said_is_no_limit() -> None:
    assert limits(env={"HFMODEL_CACHE_LIMIT": ""}) == Limits(None, None)


def test_options_and_variables_mean_the_same() -> None:
    by_option = limits(cache_limit="40Gi", keeper="me", keep=["a/b", f"c@{COMMIT}"], keep_as_of="12.5")
    by_variable = limits(
        keep_as_of=None,
        env={
            "HFMODEL_CACHE_LIMIT": "40Gi",
            "HFMODEL_CACHE_KEEPER": "me",
            "HFMODEL_CACHE_KEEP": f"a/b\nc@{COMMIT}",
            "HFMODEL_CACHE_KEEP_AS_OF": "12.5",
        },
    )
    kept = frozenset({Kept("a--b"), Kept("c", COMMIT)})
    assert by_option == by_variable == Limits(40 * 2**30, KeepList(keeper="me", as_of=12.5, kept=kept))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"cache_limit": "lots"}, "HFMODEL_CACHE_LIMIT", id="limit"),
        pytest.param({"keep": ["a"]}, "needs --keeper", id="nobody-keeps"),
        pytest.param({"keeper": "/" * 100}, "too long", id="keeper"),
        pytest.param({"keep": ["/cache/x"], "keeper": "me"}, "HFMODEL_CACHE_KEEP", id="keep"),
        pytest.param({"keep_as_of": "nan", "keeper": "me"}, "HFMODEL_CACHE_KEEP_AS_OF", id="time"),
        pytest.param({"keep_as_of": "1e300", "keeper": "me"}, "HFMODEL_CACHE_KEEP_AS_OF", id="late-time"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        limits(**given)
