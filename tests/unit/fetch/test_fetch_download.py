"""Downloads against a source that is scripted byte by byte."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from hfmodel_runtime.fetch.cache import MARKER
from hfmodel_runtime.fetch.download import Download, missing_bytes, remove_others
from hfmodel_runtime.fetch.meter import Meter
from hfmodel_runtime.fetch.request import Retry
from hfmodel_runtime.fetch.selection import SourceFile

CONTENT = bytes(range(256)) * 40
FILE = SourceFile(path="weights", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
RETRY = Retry(attempts=3, base_seconds=0.0)


class Source:
    """Serves CONTENT in chunks; each number in `cuts` ends one answer after so many bytes."""

    def __init__(self, *, cuts: Sequence[int] = (), ranges: bool = True, gate: threading.Barrier | None = None) -> None:
        self.cuts = list(cuts)
        self.ranges = ranges
        self.gate = gate
        self.offsets: list[int] = []

    @contextmanager
    def __call__(self, path: str, *, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        self.offsets.append(offset)
        start = offset if self.ranges else 0
        yield start, self._chunks(start)

    def _chunks(self, start: int) -> Iterator[bytes]:
        if self.gate is not None:
            self.gate.wait(30)
        cut = self.cuts.pop(0) if self.cuts else None
        for position in range(start, len(CONTENT), 100):
            if cut is not None and position >= start + cut:
                raise httpx2.ReadError("cut")
            yield CONTENT[position : position + 100]


def download(directory: Path, source: Source) -> None:
    Download(directory, opener=source, retry=RETRY, meter=Meter(lambda _: None)).run([FILE], total=FILE.size)


def test_a_cut_costs_no_byte_twice(tmp_path: Path) -> None:
    source = Source(cuts=[1000, 500])
    download(tmp_path, source)
    assert source.offsets == [0, 1000, 1500]
    assert (tmp_path / "weights").read_bytes() == CONTENT


def test_a_source_without_ranges_is_read_from_the_start(tmp_path: Path) -> None:
    download(tmp_path, Source(cuts=[1000], ranges=False))
    assert (tmp_path / "weights").read_bytes() == CONTENT


def test_a_line_that_gets_on_is_never_given_up(tmp_path: Path) -> None:
    source = Source(cuts=[100] * 50)
    download(tmp_path, source)
    assert len(source.offsets) == 51


def test_a_line_that_brings_nothing_is_given_up_after_the_attempts(tmp_path: Path) -> None:
    source = Source(cuts=[0] * 50)
    with pytest.raises(httpx2.ReadError):
        download(tmp_path, source)
    assert len(source.offsets) == RETRY.attempts


def test_the_wait_between_tries_doubles_up_to_a_limit() -> None:
    retry = Retry(base_seconds=0.5, max_seconds=15)
    assert [retry.wait_seconds(failures) for failures in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        pytest.param(None, 2, id="nothing"),
        pytest.param(0.0, 2, id="less than it waits anyway"),
        pytest.param(30.0, 30, id="longer"),
        pytest.param(1e9, 60, id="too long"),
    ],
)
def test_the_wait_is_as_long_as_the_hub_asks_up_to_a_limit(asked: float | None, wait: float) -> None:
    assert Retry(base_seconds=0.5, max_asked_seconds=60).wait_seconds(3, asked=asked) == wait


def test_who_is_overtaken_stops_writing(tmp_path: Path) -> None:
    partial, final = tmp_path / "weights.partial", tmp_path / "weights"

    class Overtaken(Source):
        def _chunks(self, start: int) -> Iterator[bytes]:
            yield CONTENT[:100]
            partial.write_bytes(CONTENT)
            partial.rename(final)
            yield b"x" * 100

    download(tmp_path, Overtaken())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"weights": CONTENT}


def test_a_partial_that_another_writer_began_again_is_gone_on_with(tmp_path: Path) -> None:
    partial = tmp_path / "weights.partial"

    class BegunAgain(Source):
        def _chunks(self, start: int) -> Iterator[bytes]:
            if self.offsets == [0]:
                yield CONTENT[:5000]
                partial.unlink()
                partial.write_bytes(CONTENT[:100])
            yield from super()._chunks(start)

    source = BegunAgain()
    download(tmp_path, source)
    assert source.offsets == [0, 100]
    assert (tmp_path / "weights").read_bytes() == CONTENT


def test_a_partial_of_other_content_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "weights.partial").write_bytes(b"something else" * 10)
    download(tmp_path, Source())
    assert (tmp_path / "weights").read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [0, 7], ids=["complete", "too-long"])
def test_a_partial_that_was_never_renamed_is_checked_first(tmp_path: Path, extra: int) -> None:
    (tmp_path / "weights.partial").write_bytes(CONTENT + b"x" * extra)
    source = Source()
    download(tmp_path, source)
    assert source.offsets == [0] * bool(extra)
    assert (tmp_path / "weights").read_bytes() == CONTENT


def test_two_writers_without_a_lock_do_each_other_no_harm(tmp_path: Path) -> None:
    gate = threading.Barrier(2)
    sources = [Source(gate=gate), Source(gate=gate)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda source: download(tmp_path, source), sources))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"weights": CONTENT}


def test_what_is_missing_counts_partials(tmp_path: Path) -> None:
    (tmp_path / "weights.partial").write_bytes(b"123")
    assert missing_bytes(tmp_path, [FILE, SourceFile(path="other", size=5)]) == len(CONTENT) - 3 + 5


def test_leftovers_are_removed(tmp_path: Path) -> None:
    for name in ("weights", "old", "weights.partial"):
        (tmp_path / name).write_bytes(b"1")
    remove_others(tmp_path, [FILE])
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_the_marker_of_a_writer_who_publishes_is_no_leftover(tmp_path: Path) -> None:
    for name in ("weights", MARKER):
        (tmp_path / name).write_bytes(b"1")
    remove_others(tmp_path, [FILE])
    assert {path.name for path in tmp_path.iterdir()} == {"weights", MARKER}
