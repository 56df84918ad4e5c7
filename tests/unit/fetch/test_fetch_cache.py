"""A model directory appears in the cache whole or not at all."""

import fcntl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hfmodel_runtime.fetch.cache import (
    MARKER,
    Entry,
    commit_entry,
    local_entry,
    publish,
    published,
    published_bytes,
    read_ref,
    staging_sign,
    write_ref,
)
from hfmodel_runtime.fetch.lock import Silence, held
from support.model_files import tiny_model

FILES = tiny_model()
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Entry(tmp_path, "org--name", "0" * 40)


def staged(entry: Entry, name: str = "download") -> Path:
    directory = entry.staging / name
    directory.mkdir(parents=True)
    for file, content in FILES.items():
        (directory / file).write_bytes(content)
    return directory


def test_what_is_published_is_found_with_its_size(entry: Entry) -> None:
    assert published(entry, revision="r") is None
    assert publish(entry, staged(entry), origin={"model": "org/name"}) == SIZE
    found = published(entry, revision="r")
    assert found is not None
    assert (found.path, found.revision, found.bytes) == (entry.target, "r", SIZE)


def test_a_directory_without_marker_is_not_published(entry: Entry) -> None:
    publish(entry, staged(entry), origin={})
    (entry.target / MARKER).unlink()
    assert published_bytes(entry.target) is None


@pytest.mark.parametrize("marker", ["", "{", "[]", "{}", '{"files": 3}', '{"files": {"gone": 1}}'])
def test_a_broken_marker_is_no_marker(entry: Entry, marker: str) -> None:
    publish(entry, staged(entry), origin={})
    (entry.target / MARKER).write_text(marker)
    assert published_bytes(entry.target) is None


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_directory_is_not_published_and_is_replaced(entry: Entry, damage: str) -> None:
    publish(entry, staged(entry), origin={})
    weights = entry.target / "model.safetensors"
    weights.write_bytes(b"") if damage == "truncate" else weights.unlink()
    assert published_bytes(entry.target) is None
    publish(entry, staged(entry, "again"), origin={})
    assert published_bytes(entry.target) == SIZE
    assert [path.name for path in (entry.root / "staging").iterdir()] == [entry.staging.name]


def test_a_directory_left_by_something_else_is_replaced(entry: Entry) -> None:
    entry.target.mkdir(parents=True)
    (entry.target / "left").write_text("over")
    publish(entry, staged(entry), origin={})
    assert published_bytes(entry.target) == SIZE
    assert not (entry.target / "left").exists()


def test_who_comes_second_leaves_the_first_one_alone(entry: Entry) -> None:
    first, second = staged(entry, "first"), staged(entry, "second")
    publish(entry, first, origin={})
    before = (entry.target / "model.safetensors").stat().st_ino
    assert publish(entry, second, origin={}) == SIZE
    assert (entry.target / "model.safetensors").stat().st_ino == before


def test_many_publishers_at_once_end_with_one_whole_directory(entry: Entry) -> None:
    directories = [staged(entry, f"d{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(lambda directory: publish(entry, directory, origin={}), directories))
    assert sizes == [SIZE] * 8
    assert published_bytes(entry.target) == SIZE


def test_publishers_of_one_directory_end_with_it_whole_or_find_it_gone(entry: Entry) -> None:
    # Locks that do not work: both finished the same download.
    directory, start = staged(entry), threading.Barrier(8)

    def outcome() -> int | None:
        start.wait()
        try:
            return publish(entry, directory, origin={})
        except FileNotFoundError:
            return published_bytes(entry.target)

    with ThreadPoolExecutor(8) as threads:
        sizes = [future.result() for future in [threads.submit(outcome) for _ in range(8)]]
    assert sizes == [SIZE] * 8
    assert {path.name for path in entry.target.iterdir()} == {*FILES, MARKER}


def test_what_a_late_writer_still_receives_is_no_part_of_what_is_published(entry: Entry) -> None:
    directory = staged(entry)
    late = directory / "model.safetensors.partial"
    late.write_bytes(b"a begin")
    assert publish(entry, directory, origin={}) == SIZE
    (entry.target / late.name).write_bytes(b"a beginning, and more")
    assert published_bytes(entry.target) == SIZE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("a/b", "c", False), ("a/b", "c", True), id="code"),
        pytest.param(("a/b", "c", False), ("a/b", "d", False), id="commit"),
        pytest.param(("a/b", "c", False), ("b", "c", False), id="owner"),
    ],
)
def test_entries_do_not_share_a_place(tmp_path: Path, one: tuple[str, str, bool], other: tuple[str, str, bool]) -> None:
    entries = [commit_entry(tmp_path, model=model, commit=commit, code=code) for model, commit, code in (one, other)]
    assert len({(entry.target, entry.staging, entry.lock) for entry in entries}) == 2
    assert len({entry.target for entry in entries}) == len({entry.lock for entry in entries}) == 2


@pytest.mark.parametrize("name", ["with space & more", "ünïcode", "a/b", "..", "plain-1.0"])
def test_a_local_name_is_one_harmless_folder(tmp_path: Path, name: str) -> None:
    entry = local_entry(tmp_path, name=name, digest="0" * 64)
    assert entry.target.parent.parent == tmp_path / "models"
    assert entry.target.name == "0" * 16
    assert entry.target.parent.name.startswith("local--")


def test_a_revision_is_remembered_per_endpoint(tmp_path: Path) -> None:
    write_ref(tmp_path, model="a/b", revision="refs/pr/1", endpoint=None, commit="c1")
    assert read_ref(tmp_path, model="a/b", revision="refs/pr/1", endpoint=None) == "c1"
    assert read_ref(tmp_path, model="a/b", revision="refs/pr/1", endpoint="http://mirror") is None
    assert read_ref(tmp_path, model="a/b", revision="main", endpoint=None) is None


def test_a_cache_that_cannot_be_written_still_resolves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "refs").write_text("a file in the way")
    write_ref(tmp_path, model="a/b", revision="main", endpoint=None, commit="c1")
    assert "revision not remembered" in caplog.text
    assert read_ref(tmp_path, model="a/b", revision="main", endpoint=None) is None


@pytest.fixture
def dead_lock(tmp_path: Path) -> Iterator[Path]:
    """Held by somebody who does nothing, as by a machine that is gone where the server does not know that yet."""
    path = tmp_path / "dead.lock"
    with path.open("w") as dead:
        fcntl.flock(dead, fcntl.LOCK_EX)
        yield path


def test_a_lock_that_nobody_frees_does_not_hold_for_ever(dead_lock: Path, caplog: pytest.LogCaptureFixture) -> None:
    waits = 0

    def waiting() -> None:
        nonlocal waits
        waits += 1

    with held(dead_lock, waiting=waiting, patience=0.3):
        assert waits > 0
    assert "going on without it" in caplog.text


def test_whoever_works_on_is_waited_for(dead_lock: Path) -> None:
    signs = iter(range(10))
    with held(dead_lock, waiting=lambda: None, sign=lambda: next(signs, "no more"), patience=0.3):
        assert list(signs) == []


@pytest.mark.parametrize(
    ("seen", "over"),
    [
        pytest.param([("a", 0.0)], False, id="first-look"),
        pytest.param([("a", 0.0), ("a", 9.9)], False, id="not-yet"),
        pytest.param([("a", 0.0), ("a", 10.0)], True, id="over"),
        pytest.param([("a", 0.0), ("b", 9.0), ("b", 18.0)], False, id="a-sign-in-between"),
        pytest.param([(None, 5.0), (None, 15.0)], True, id="no-sign-at-all"),
    ],
)
def test_silence_begins_with_the_last_sign(seen: list[tuple[object, float]], over: bool) -> None:
    silence = Silence(10.0)
    answers = [silence.lasts(sign, now=now) for sign, now in seen]
    assert answers == [False] * (len(seen) - 1) + [over]


def test_work_in_staging_shows(entry: Entry) -> None:
    signs = [staging_sign(entry)]
    directory = staged(entry)
    signs.append(staging_sign(entry))
    (directory / "model.safetensors").write_bytes(b"longer" * SIZE)
    signs.append(staging_sign(entry))
    assert staging_sign(entry) == signs[-1]
    assert len(set(signs)) == 3


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    waits, order = threading.Event(), []

    def second() -> None:
        with held(path, waiting=waits.set):
            order.append("second")

    with ThreadPoolExecutor() as threads:
        with held(path, waiting=lambda: pytest.fail("nobody else has it")):
            other = threads.submit(second)
            assert waits.wait(30)
            order.append("first")
        other.result(30)
    assert order == ["first", "second"]
