"""`hfmodel-runtime cache`: what it prints, and what it deletes."""

import json
from pathlib import Path

import pytest

from hfmodel_runtime.fetch.inventory import items
from hfmodel_runtime.fetch.keep import Kept, write_keep_list
from hfmodel_runtime.main import main
from support.cached_models import COMMITS, cached, interrupted, keeping, left_over


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A model in use, an old one, an older one that somebody keeps, and what was cut off."""
    cached(tmp_path, "org/new", size=10_000, days=1, branch="main")
    cached(tmp_path, "org/old", size=20_000, days=40, commit=COMMITS[1])
    cached(tmp_path, "org/kept", size=30_000, days=90, commit=COMMITS[2])
    interrupted(tmp_path, "org/cut", size=5000, days=2, commit=COMMITS[3])
    left_over(tmp_path, "org/gone", size=7000)
    write_keep_list(tmp_path, keeping("ns/models", Kept("org--kept")))
    return tmp_path


def run(*arguments: str | Path) -> int:
    return main(["cache", *map(str, arguments)])


def models(cache: Path) -> list[str]:
    return sorted(item.model.removeprefix("org/") for item in items(cache))


def test_the_list_is_a_table_with_a_sum(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--cache-dir", cache) == 0
    header, *rows, total = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "MODEL"
    assert [row.split()[0] for row in rows] == ["org/cut", "org/gone", "org/kept", "org/new", "org/old"]
    new = next(row for row in rows if row.startswith("org/new"))
    assert new.split() == ["org/new", COMMITS[0][:12], "main", "10.2", "kB", "24h", "ago", "published", "-"]
    assert next(row for row in rows if row.startswith("org/kept")).endswith("published  ns/models")
    assert total.startswith("3 models and 2 leftovers, 72.")
    assert total.endswith("free on the volume")


def test_the_list_as_json_is_for_programs(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json", "--cache-dir", cache) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["cache"] == str(cache)
    assert listed["bytes"] == sum(entry["bytes"] for entry in listed["entries"])
    kept = next(entry for entry in listed["entries"] if entry["model"] == "org/kept")
    assert (kept["commit"], kept["state"], kept["kept_by"]) == (COMMITS[2], "published", ["ns/models"])
    assert kept["path"] == str(cache / "models" / "org--kept" / COMMITS[2])


def test_an_empty_cache_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--cache-dir", tmp_path) == 0
    assert capsys.readouterr().out.startswith("0 models, 0 B")


@pytest.mark.parametrize(
    ("options", "left"),
    [
        pytest.param([], ["kept", "new", "old"], id="leftovers-alone"),
        pytest.param(["--unused-for", "30d"], ["kept", "new"], id="unused"),
        pytest.param(["--unused-for", "0s"], ["kept"], id="all-that-may"),
        pytest.param(["--limit", "45kB"], ["kept", "new"], id="limit"),
        pytest.param(["--limit", "1Ti"], ["kept", "new", "old"], id="limit-kept-already"),
        pytest.param(["--forget", "ns/models", "--unused-for", "30d"], ["new"], id="keeper-forgotten"),
    ],
)
def test_prune_takes_what_it_is_told_to(
    cache: Path, options: list[str], left: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = models(cache)
    assert run("prune", *options, "--dry-run", "--cache-dir", cache) == 0
    told = capsys.readouterr().out
    assert models(cache) == before
    assert f"{len(before) - len(left)} would be removed" in told
    assert run("prune", *options, "--cache-dir", cache) == 0
    assert capsys.readouterr().out == told.replace("would be removed", "removed")
    assert models(cache) == left


def test_a_limit_that_cannot_be_reached_is_a_failure(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", "--limit", "1kB", "--cache-dir", cache) == 1
    assert models(cache) == ["kept"]
    assert "still 29.2 kB over 1.0 kB" in capsys.readouterr().err


def test_prune_as_json_is_for_programs(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", "--json", "--unused-for", "30d", "--cache-dir", cache) == 0
    told = json.loads(capsys.readouterr().out)
    assert {entry["model"] for entry in told["removed"]} == {"org/old", "org/cut", "org/gone"}
    assert told["freed_bytes"] == sum(entry["bytes"] for entry in told["removed"])


@pytest.mark.parametrize("command", ["list", "prune"])
def test_a_cache_that_is_not_there_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--cache-dir", tmp_path / "none") == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_an_unknown_keeper_is_refused_with_those_there_are(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", "--forget", "nobody", "--cache-dir", cache) == 1
    assert capsys.readouterr().err == "there is no keeper 'nobody'; there are: ns/models\n"
    assert "gone" in models(cache)


def test_a_cache_that_cannot_be_changed_is_named(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / "locks").write_text("a file in the way")
    assert run("prune", "--cache-dir", cache) == 1
    told = capsys.readouterr()
    assert f"the cache {cache} cannot be used" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    "wrong", [["prune", "--limit", "x"], ["prune", "--unused-for", "30"], ["list", "--what"], [], ["drop"]]
)
def test_wrong_arguments_are_refused(wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*wrong, "--cache-dir", tmp_path)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_cache_may_come_from_the_environment(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HFMODEL_CACHE", str(cache))
    assert run("list") == 0
    assert "org/new" in capsys.readouterr().out
