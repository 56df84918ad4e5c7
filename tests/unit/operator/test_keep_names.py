"""What an installation says must stay in the cache, as the fetch reads it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_operator.keep import LONGEST_LIST, Keep, Needed, keep_names, keeper_name
from hfmodel_operator.source import Source
from hfmodel_runtime.fetch.cache import Entry, commit_entry, local_entry
from hfmodel_runtime.fetch.keep import check_keeper, parse_kept

COMMIT, OTHER = "a" * 40, "b" * 40
ROOT = Path("/cache")

repos = st.from_regex(r"[a-z0-9]{1,8}(/[A-Za-z0-9._]{1,8})?", fullmatch=True)
commits = st.text("0123456789abcdef", min_size=40, max_size=40)
paths = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)


def covers(names: tuple[str, ...], entry: Entry) -> bool:
    kept = [parse_kept(name, root=ROOT) for name in names]
    return any(each is not None and each.covers(entry) for each in kept)


@st.composite
def hub_needs(draw: st.DrawFn) -> tuple[Needed, Entry]:
    """A need, and what in the cache must stay for it."""
    repo, commit, code = draw(repos), draw(commits), draw(st.booleans())
    entry = commit_entry(ROOT, model=repo, commit=commit, code=code)
    revision = draw(st.sampled_from(["main", commit]))
    path = draw(st.sampled_from([None, str(entry.target)]))
    return Needed(Source(model=repo, revision=revision, trust_remote_code=code), path), entry


@st.composite
def path_needs(draw: st.DrawFn) -> tuple[Needed, Entry]:
    name = draw(paths)
    is_file = name.lower().endswith(".gguf") and draw(st.booleans())
    entry = local_entry(ROOT, name=Path(name).stem if is_file else name, digest="c" * 64)
    path = draw(st.sampled_from([None, str(entry.target)]))
    return Needed(Source(model="local/x", path=f"/weights/{name}"), path), entry


@given(st.lists(hub_needs() | path_needs(), max_size=12))
def test_everything_that_is_needed_stays(needs: list[tuple[Needed, Entry]]) -> None:
    names = keep_names((need for need, _ in needs), cache_dir=str(ROOT))
    assert [entry for _, entry in needs if not covers(names, entry)] == []
    # A variable holds them with spaces between.
    assert " ".join(names).split() == list(names)


@pytest.mark.parametrize(
    ("need", "names"),
    [
        pytest.param(Needed(Source(model="org/a"), f"/cache/models/org--a/{COMMIT}"), [COMMIT], id="fetched"),
        pytest.param(Needed(Source(model="org/a")), [COMMIT, OTHER], id="not fetched"),
        pytest.param(Needed(Source(model="org/a", revision=COMMIT)), [COMMIT], id="not fetched, its commit is named"),
    ],
)
def test_nothing_else_does(need: Needed, names: list[str]) -> None:
    kept = keep_names([need], cache_dir="/cache")
    assert [commit for commit in (COMMIT, OTHER) if covers(kept, Entry(ROOT, "org--a", commit))] == names
    assert not covers(kept, Entry(ROOT, "org--b", COMMIT))


@pytest.mark.parametrize(
    "path", ["/source/llm", "/cache/models/org--a", "/cache/models/of mine/x", "/cache/models/a/b/c"], ids=str
)
def test_what_no_fetch_has_made_is_not_named(path: str) -> None:
    assert keep_names([Needed(Source(model="org/a", path="/llm"), path)], cache_dir="/cache") == ()


def test_the_folder_of_the_cache_may_have_spaces() -> None:
    path = f"/home/me/my cache/models/org--a/{COMMIT}"
    assert keep_names([Needed(Source(model="org/a"), path)], cache_dir="/home/me/my cache") == (path,)


@pytest.mark.parametrize(("count", "fits"), [(LONGEST_LIST // 8, True), (LONGEST_LIST // 8 + 1, False)])
def test_a_list_that_no_variable_can_hold_does_not_fit(count: int, fits: bool) -> None:
    names = tuple(f"org/{number:03x}" for number in range(count))
    assert Keep(keeper="k", names=tuple(name[:7] for name in names), as_of=0.0).fits is fits


@pytest.mark.parametrize(
    "name", ["models/hfmodel-operator", "up:/home/me/models", "up:" + "/very/long" * 40, "up:" + "/ä" * 90], ids=len
)
def test_a_keeper_can_always_be_one_and_is_always_the_same(name: str) -> None:
    assert check_keeper(keeper_name(name)) == keeper_name(name)
    assert keeper_name(name) != keeper_name(f"{name}2")
