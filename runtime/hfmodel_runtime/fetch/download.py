"""Files of one commit into a directory, several at a time, each continued where an earlier run was cut off.

A file is written as `<name>.partial`, at explicit offsets: two writers of the same commit (on a volume without locks)
write the same bytes to the same places. It gets its name once it is complete, checked against the Hub's hash and on the
disk, so a file that has its name is never looked at again.
"""

import errno
import hashlib
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.cache import MARKER, PARTIAL, fsync
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.hub_errors import is_transient
from hfmodel_runtime.fetch.meter import REPORT_SECONDS, Meter
from hfmodel_runtime.fetch.request import Retry, Stage
from hfmodel_runtime.fetch.retry_after import asked_seconds
from hfmodel_runtime.fetch.selection import SourceFile

logger = logging.getLogger(__name__)

_WORKERS = 4
_HASH_CHUNK = 1 << 20
_JOIN_SECONDS = 1.0


class Opener(Protocol):
    """`Hub.open` for one commit."""

    def __call__(self, path: str, *, offset: int) -> AbstractContextManager[tuple[int, Iterator[bytes]]]: ...


class Download:
    """One set of files on its way into `directory`."""

    def __init__(self, directory: Path, *, opener: Opener, retry: Retry, meter: Meter) -> None:
        self._directory = directory
        self._open = opener
        self._retry = retry
        self._meter = meter
        self._cancelled = threading.Event()
        self._received: dict[str, int] = {}  # bytes by file; each key has one writer

    def run(self, files: Sequence[SourceFile], *, total: int | None) -> None:
        """Return once all of `files` are complete. `total` is for the reports, which also count earlier calls' files.

        Raises:
            FetchFailure: ChecksumMismatch.
            Exception: what the Hub's client or the file system raised, after the retries that made sense.
        """
        work: queue.SimpleQueue[SourceFile] = queue.SimpleQueue()
        for file in sorted(files, key=lambda file: -(file.size or 0)):
            work.put(file)
            self._received.setdefault(file.path, _present(self._directory / file.path))
        outcomes: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        workers = [
            # Daemons: a stop signal must not wait for a server that has gone quiet.
            threading.Thread(target=self._work, args=(work, outcomes), daemon=True, name=f"download-{n}")
            for n in range(min(_WORKERS, len(files)))
        ]
        for worker in workers:
            worker.start()
        try:
            self._watch(outcomes, remaining=len(files), total=total)
        except BaseException:
            self._cancelled.set()
            deadline = time.monotonic() + _JOIN_SECONDS
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
            raise

    def _watch(self, outcomes: "queue.SimpleQueue[Exception | None]", *, remaining: int, total: int | None) -> None:
        while remaining:
            try:
                error = outcomes.get(timeout=REPORT_SECONDS)
            except queue.Empty:
                error = None
            else:
                remaining -= 1
            if error is not None:
                raise error
            count = sum(list(self._received.values()))
            stage = Stage.VERIFY if count == total and remaining else Stage.DOWNLOAD
            self._meter.update(stage, count, total=total, now=time.monotonic())

    def _work(self, work: "queue.SimpleQueue[SourceFile]", outcomes: "queue.SimpleQueue[Exception | None]") -> None:
        while not self._cancelled.is_set():
            try:
                file = work.get_nowait()
            except queue.Empty:
                return
            try:
                self._fetch(file)
            except _Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for it
                outcomes.put(error)
            else:
                outcomes.put(None)

    def _fetch(self, file: SourceFile) -> None:
        final = self._directory / file.path
        if final.is_file():
            return
        partial = final.with_name(final.name + PARTIAL)
        partial.parent.mkdir(parents=True, exist_ok=True)
        if file.size is None:
            # Nobody could say whether it is complete already.
            partial.unlink(missing_ok=True)
        try:
            self._complete(file, partial)
            partial.rename(final)
        except FileNotFoundError:
            # Another writer of the same bytes was faster (a volume without locks).
            if not final.is_file():
                raise

    def _complete(self, file: SourceFile, partial: Path) -> None:
        for last_try in (False, True):
            self._receive_all(file, partial)
            if self._matches(partial, file):
                break
            logger.warning("checksum differs, starting the file again file=%s", file.path)
            partial.unlink(missing_ok=True)
            if last_try:
                message = f"{file.path} arrived damaged twice: what was received is not what the Hub lists"
                raise FetchFailure(Reason.CHECKSUM_MISMATCH, message, retryable=True)
        fsync(partial)

    def _receive_all(self, file: SourceFile, partial: Path) -> None:
        failures = 0
        while True:
            before = _present(partial)
            if file.size is not None and before >= file.size > 0:
                return
            try:
                self._receive(file, partial)
            except _Overtaken:
                if not partial.exists():
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(partial)) from None
            except (HfHubHTTPError, httpx2.HTTPError) as error:
                # Only a try in a row that brought nothing counts: a bad line that gets on is still a line.
                failures = 1 if _present(partial) > before else failures + 1
                if failures >= self._retry.attempts or not is_transient(error):
                    raise
                logger.warning("download interrupted file=%s offset=%d error=%r", file.path, _present(partial), error)
                self._meter.tally.retried()
                asked = asked_seconds(error, now=datetime.now(UTC))
                if self._cancelled.wait(self._retry.wait_seconds(failures, asked=asked)):
                    raise _Cancelled from error
            else:
                return

    def _receive(self, file: SourceFile, partial: Path) -> None:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            offset = os.fstat(descriptor).st_size
            with self._open(file.path, offset=offset) as (position, chunks):
                for chunk in chunks:
                    if self._cancelled.is_set():
                        raise _Cancelled
                    if not _is_at(partial, descriptor):
                        # Another writer has finished it, or started it again (a volume without locks).
                        raise _Overtaken
                    _write(descriptor, chunk, position)
                    self._meter.tally.received(len(chunk))
                    position += len(chunk)
                    self._received[file.path] = max(position, offset)
        finally:
            os.close(descriptor)
        if file.size is not None and position < file.size:
            raise httpx2.RemoteProtocolError(f"the answer ended after {position} of {file.size} bytes of {file.path}")

    def _matches(self, path: Path, file: SourceFile) -> bool:
        size = path.stat().st_size
        if file.size is not None and size != file.size:
            return False
        if file.sha256 is not None:
            return self._digest(path, hashlib.sha256()) == file.sha256
        if file.blob_id is not None:
            # git's hash of a file: not for security, but it is what the Hub knows of small files.
            start = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            return self._digest(path, start) == file.blob_id
        return True

    def _digest(self, path: Path, digest: "hashlib._Hash") -> str:
        with path.open("rb") as content:
            while chunk := content.read(_HASH_CHUNK):
                if self._cancelled.is_set():
                    raise _Cancelled
                digest.update(chunk)
        return digest.hexdigest()


class _Overtaken(Exception):
    """The file that was written to is not the one that has the name any more."""


class _Cancelled(Exception):
    """Somebody else failed, or the process is to stop."""


def missing_bytes(directory: Path, files: Sequence[SourceFile]) -> int:
    """What is still to come of `files`, as far as their sizes are known."""
    return sum(max(0, (file.size or 0) - _present(directory / file.path)) for file in files)


def remove_others(directory: Path, files: Sequence[SourceFile]) -> None:
    """Delete everything in `directory` that is not one of `files`: leftovers of an earlier choice.

    Not the marker: it is there when another writer publishes the directory just now (a volume without locks).
    """
    wanted = {directory / file.path for file in files} | {directory / MARKER}
    for path in [path for path in directory.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink(missing_ok=True)


def _present(path: Path) -> int:
    for candidate in (path, path.with_name(path.name + PARTIAL)):
        try:
            return candidate.stat().st_size
        except FileNotFoundError:
            continue
    return 0


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(descriptor: int, chunk: bytes, position: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view, position)
        position += written
        view = view[written:]
