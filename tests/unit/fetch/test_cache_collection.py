"""What goes when a cache is full: the least recently used that nobody needs; never half of it, never what is used."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import Fetched, FetchFailure
from hfmodel_runtime.fetch.cache import MARKER, Entry, discard_staging, download_directory, publish, published
from hfmodel_runtime.fetch.collect import enough_of, may_go, remove, touch_kept
from hfmodel_runtime.fetch.inventory import Item, State, items, total_bytes
from hfmodel_runtime.fetch.keep import KeepList, Kept, write_keep_list
from hfmodel_runtime.fetch.lock import held
from hfmodel_runtime.fetch.room import Room
from support.cached_models import COMMITS, cached, interrupted, keeping, left_over

DAY = 86_400.0


def names(found: list[Item] | None) -> list[str] | None:
    return None if found is None else [item.entry.name for item in found]


def in_cache(root: Path) -> list[str]:
    return sorted(item.entry.name for item in items(root))


# What there is


def test_everything_in_a_cache_is_an_item_with_its_size_and_its_last_use(tmp_path: Path) -> None:
    entry = cached(tmp_path, "org/a", size=1000, days=3)
    interrupted(tmp_path, "org/b", size=10, days=2)
    left_over(tmp_path, "org/c", size=20)
    broken = cached(tmp_path, "org/d", size=100, days=1)
    (broken.target / "model.safetensors").write_bytes(b"short")
    found = {item.model: item for item in items(tmp_path)}
    assert {model: (item.state, item.path.exists()) for model, item in found.items()} == {
        "org/a": (State.PUBLISHED, True),
        "org/b": (State.STAGING, True),
        "org/c": (State.TRASH, True),
        "org/d": (State.DAMAGED, True),
    }
    assert found["org/a"].bytes > 1000 > found["org/b"].bytes
    assert time.time() - found["org/a"].used_at == pytest.approx(3 * DAY, abs=60)
    assert found["org/a"].entry == entry


def test_what_no_fetch_has_made_is_nobodys_to_delete(tmp_path: Path) -> None:
    for path in ("models/org--a/0123/file", f"models/org--a/{'0' * 40}/file", "staging/mine/file", "models/file"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("somebody's")
    assert items(tmp_path) == []


def test_files_that_two_entries_share_count_once(tmp_path: Path) -> None:
    plain = cached(tmp_path, "org/a", size=5000, days=1)
    other = Entry(tmp_path, plain.name, f"{plain.key}-code")
    directory = download_directory(other)
    directory.mkdir(parents=True)
    for path in plain.target.iterdir():
        if path.name != MARKER:
            os.link(path, directory / path.name)
    publish(other, directory, origin={"model": "org/a"})
    discard_staging(other)
    found = items(tmp_path)
    assert len(found) == 2
    assert total_bytes(found) < 2 * 5000 < sum(item.bytes for item in found)


def test_what_a_download_will_need_counts_already(tmp_path: Path) -> None:
    entry = interrupted(tmp_path, "org/a", size=10, days=0)
    Room(entry=entry, limit=10**9).ensure(entry.staging, needed=5000, what="it")
    (item,) = items(tmp_path)
    assert total_bytes([item]) == item.reserved > 5000 > item.bytes


# What may go, and in which order


def test_the_least_recently_used_goes_first_and_trash_before_it(tmp_path: Path) -> None:
    cached(tmp_path, "org/new", days=1)
    cached(tmp_path, "org/old", days=30)
    interrupted(tmp_path, "org/cut", days=7)
    left_over(tmp_path, "org/trash")
    found = may_go(items(tmp_path), (), now=time.time())
    assert names(found) == ["org--trash", "org--old", "org--cut", "org--new"]


@pytest.mark.parametrize("make", [cached, interrupted], ids=["published", "staging"])
def test_what_is_kept_in_use_or_spared_stays(tmp_path: Path, make: Callable[..., Entry]) -> None:
    make(tmp_path, "org/kept", days=30)
    make(tmp_path, "org/used", days=0)
    spared = make(tmp_path, "org/own", days=30)
    make(tmp_path, "org/gone", days=30)
    lists = [keeping("a", Kept("org--kept"))]
    assert names(may_go(items(tmp_path), lists, now=time.time(), spare=[spared])) == ["org--gone"]


@pytest.mark.parametrize(
    ("most", "going"),
    [
        pytest.param(10**6, [], id="it-fits"),
        pytest.param(7000, ["org--a"], id="one"),
        pytest.param(3000, ["org--a", "org--b"], id="two"),
        pytest.param(0, None, id="too-little"),
    ],
)
def test_no_more_goes_than_has_to(tmp_path: Path, most: int, going: list[str] | None) -> None:
    for number, name in enumerate("abc"):
        cached(tmp_path, f"org/{name}", size=2500, days=30 - number)
    found = items(tmp_path)
    candidates = [item for item in found if item.model != "org/c"]
    assert names(enough_of(candidates, found, most=most)) == going


# How it goes


def test_a_model_goes_as_a_whole(tmp_path: Path) -> None:
    entry = cached(tmp_path, "org/a", days=1)
    (item,) = items(tmp_path)
    assert remove(item)
    assert items(tmp_path) == []
    assert published(entry, revision=None) is None
    assert list((tmp_path / "staging").iterdir()) == []


def test_what_somebody_fetches_is_passed_over(tmp_path: Path) -> None:
    entry = cached(tmp_path, "org/a", days=1)
    (item,) = items(tmp_path)
    with held(entry.lock, waiting=lambda: pytest.fail("it is free")):
        assert not remove(item)
    assert in_cache(tmp_path) == ["org--a"]


def test_what_was_used_since_somebody_looked_stays(tmp_path: Path) -> None:
    entry = cached(tmp_path, "org/a", days=1)
    (item,) = items(tmp_path)
    assert published(entry, revision=None) is not None
    assert not remove(item)
    assert in_cache(tmp_path) == ["org--a"]


def test_what_is_kept_since_somebody_looked_stays(tmp_path: Path) -> None:
    cached(tmp_path, "org/a", days=1)
    (item,) = items(tmp_path)
    write_keep_list(tmp_path, keeping("late", Kept("org--a")))
    assert not remove(item)
    assert in_cache(tmp_path) == ["org--a"]


@pytest.mark.parametrize("how", ["used", "kept"])
def test_a_model_that_is_wanted_in_the_very_moment_it_goes_is_put_back(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cached(tmp_path, "org/a", days=1)
    (item,) = items(tmp_path)
    rename = Path.rename
    found: list[Fetched | None] = []

    def in_between(path: Path, target: Path) -> Path:
        if path == entry.target and not found:
            if how == "used":
                found.append(published(entry, revision=None))
            else:
                write_keep_list(tmp_path, keeping("late", Kept("org--a")))
                found.append(None)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", in_between)
    assert not remove(item)
    assert len(found) == 1
    assert in_cache(tmp_path) == ["org--a"]
    assert published(entry, revision=None) is not None


def test_what_a_fetch_was_told_is_there_stays_however_it_races_with_a_collector(tmp_path: Path) -> None:
    entry = cached(tmp_path, "org/a")
    outcomes = set()
    with ThreadPoolExecutor(2) as threads:
        for _ in range(200):
            if not entry.target.exists():
                cached(tmp_path, "org/a")
            os.utime(entry.target / MARKER, (0, 0))
            (item,) = items(tmp_path)
            both = threading.Barrier(2)
            removing = threads.submit(_together, both, remove, item)
            finding = threads.submit(_together, both, lambda: published(entry, revision=None) is not None)
            outcomes.add((removing.result(30), finding.result(30)))
            assert entry.target.exists() is not removing.result()
    assert (True, True) not in outcomes, "told that it is there, and it is gone"


def _together(both: threading.Barrier, work: Callable[..., bool], *arguments: Item) -> bool:
    both.wait(30)
    return work(*arguments)


def test_what_a_dead_collector_left_goes_with_the_next(tmp_path: Path) -> None:
    left_over(tmp_path, "org/a")
    (item,) = items(tmp_path)
    assert remove(item)
    assert items(tmp_path) == []


# Room for a download


def test_room_is_made_by_what_nobody_names(tmp_path: Path) -> None:
    for number, name in enumerate(("named", "old", "new")):
        cached(tmp_path, f"org/{name}", size=10_000, days=30 - number)
    entry = Entry(tmp_path, "org--next", COMMITS[0])
    room = Room(entry=entry, limit=36_000, keep=keeping("me", Kept("org--named")))
    room.ensure(tmp_path, needed=12_000, what="it")
    assert in_cache(tmp_path) == ["org--named", "org--new", "org--next"]
    assert room.tally.total(seconds=0).collected_bytes > 10_000


def test_a_limit_that_cannot_be_kept_is_said_and_costs_no_model(tmp_path: Path) -> None:
    cached(tmp_path, "org/named", size=10_000, days=30)
    cached(tmp_path, "org/other", size=10_000, days=30)
    room = Room(entry=Entry(tmp_path, "org--next", COMMITS[0]), limit=20_000, keep=keeping("me", Kept("org--named")))
    with pytest.raises(FetchFailure) as raised:
        room.ensure(tmp_path, needed=12_000, what="the weights of org/next")
    assert raised.value.failure.reason is Reason.NO_SPACE
    message = raised.value.failure.message
    assert "the weights of org/next: 12.0 kB (12000 bytes) needed" in message
    assert "limit is 20.0 kB (20000 bytes)" in message
    assert "must stay: org/named" in message
    assert in_cache(tmp_path) == ["org--named", "org--other"]


def test_who_does_not_say_what_must_stay_removes_nothing(tmp_path: Path) -> None:
    cached(tmp_path, "org/a", size=10_000, days=300)
    with pytest.raises(FetchFailure, match="--keeper"):
        Room(entry=Entry(tmp_path, "org--next", COMMITS[0]), limit=12_000).ensure(tmp_path, needed=9000, what="it")
    assert in_cache(tmp_path) == ["org--a"]


def test_another_installation_keeps_what_it_names(tmp_path: Path) -> None:
    cached(tmp_path, "org/theirs", size=10_000, days=300)
    cached(tmp_path, "org/nobodys", size=10_000, days=1)
    write_keep_list(tmp_path, keeping("them", Kept("org--theirs", COMMITS[0])))
    room = Room(entry=Entry(tmp_path, "org--next", COMMITS[0]), limit=25_000, keep=keeping("us"))
    room.ensure(tmp_path, needed=12_000, what="it")
    assert in_cache(tmp_path) == ["org--next", "org--theirs"]


def test_two_downloads_do_not_count_on_the_same_room(tmp_path: Path) -> None:
    first, second = (Room(entry=Entry(tmp_path, f"org--{name}", COMMITS[0]), limit=10_000) for name in "ab")
    first.ensure(tmp_path, needed=6000, what="a")
    with pytest.raises(FetchFailure, match=r"limit is 10\.0 kB"):
        second.ensure(tmp_path, needed=6000, what="b")
    first.ensure(tmp_path, needed=6000, what="a again")


def test_what_is_named_counts_as_used(tmp_path: Path) -> None:
    cached(tmp_path, "org/named", days=30)
    cached(tmp_path, "org/other", days=30)
    keep = KeepList(keeper="me", as_of=0, kept=frozenset({Kept("org--named")}))
    touch_kept(items(tmp_path), keep)
    assert [item.model for item in items(tmp_path)] == ["org/other", "org/named"]
