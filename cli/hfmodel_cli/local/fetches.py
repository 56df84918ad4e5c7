"""Bringing models into the cache: one fetch per source at a time, its progress, what it found, why it failed."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from hfmodel_api.errors import HFModelError
from hfmodel_api.names import SECRET_VARIABLES
from hfmodel_api.status import CacheStatus, Reason
from hfmodel_api.wire import Failure
from hfmodel_cli.local.failures import pod_failure, tail
from hfmodel_cli.local.processes import start_tethered, to_the_end
from hfmodel_operator.fetch_metrics import FetchMetrics
from hfmodel_operator.observed import PodFailure
from hfmodel_operator.source import FETCHED, Fetched, Source

logger = logging.getLogger(__name__)

_API_KEYS = frozenset(name for name in SECRET_VARIABLES if "API_KEY" in name)
_STOP_SECONDS = 5.0
_LINE_LIMIT = 1 << 20


class FetchFailed(HFModelError):
    """A fetch ended without a model."""

    def __init__(self, failure: PodFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


Progress = Callable[[CacheStatus], None]


class Fetcher(Protocol):
    """Fetches one source, once."""

    async def fetch(self, source: Source, progress: Progress) -> Fetched:
        """Raises FetchFailed. Cancelled: what is left is of use to the next try, and nothing half-done looks whole."""


class ProcessFetcher:
    """`hfmodel-runtime fetch` as a process: the only one that gets the Hugging Face token.

    Args:
        log: a file that its output for people is appended to.
        rules: options for the cache, asked for at every fetch.
        metrics: counts how fetches end.
    """

    def __init__(
        self,
        *,
        cache_dir: Path,
        log: Path,
        env: Mapping[str, str],
        rules: Callable[[], Sequence[str]] = tuple,
        metrics: FetchMetrics | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._cache_dir = cache_dir
        self._rules = rules
        self._metrics = metrics or FetchMetrics()
        self._log = log
        self._env = {name: value for name, value in env.items() if name not in _API_KEYS}
        self._command = command or (sys.executable, "-m", "hfmodel_runtime", "fetch")

    async def fetch(self, source: Source, progress: Progress) -> Fetched:
        log_start = self._log.stat().st_size if self._log.exists() else 0
        command = (*self._command, *source.arguments(cache_dir=str(self._cache_dir)), *self._rules())
        with self._log.open("ab") as log:
            process = await start_tethered(
                command,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LINE_LIMIT,
            )
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            result = await _follow(process.stdout, progress, self._metrics)
            code = await process.wait()
        except BaseException:
            await to_the_end(_stop(process))
            raise
        if result is None:
            self._metrics.ended({})
            said = tail(self._log, start=log_start)
            raise FetchFailed(PodFailure(Reason.CRASH_LOOP, f"the fetch ended with exit code {code}. {said}".strip()))
        return result


async def _follow(lines: asyncio.StreamReader, progress: Progress, metrics: FetchMetrics) -> Fetched | None:
    """What the process reports on its standard output, up to the end. Raises FetchFailed if it reports a failure."""
    result = None
    while line := await lines.readline():
        match event := _event(line):
            case {"event": "progress", **numbers}:
                progress(CacheStatus.model_validate(numbers))
            case {"event": "done", **done}:
                result = FETCHED.validate_python(done)
                metrics.ended(event)
                progress(CacheStatus(bytes=result.bytes, total_bytes=result.bytes))
            case {"event": "error", **failure}:
                metrics.ended(event)
                raise FetchFailed(pod_failure(Failure.model_validate(failure)))
    return result


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        logger.warning("event=fetch_said_garbage bytes=%d", len(line))
        return None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass(slots=True)
class FetchState:
    """What is known of one source."""

    task: "asyncio.Task[Fetched] | None" = None  # the fetch that runs, or the last one
    cache: CacheStatus | None = None
    fetched: Fetched | None = None  # the last good one; stays while another fetch runs
    stale: bool = False  # look again before `fetched` is used
    failures: int = 0  # in a row
    failure: PodFailure | None = None  # of the last one
    failed_at: datetime | None = None

    def failed(self, failure: PodFailure, at: datetime) -> None:
        self.failures, self.failure, self.failed_at = self.failures + 1, failure, at

    def forget_failures(self) -> None:
        self.failures, self.failure, self.failed_at = 0, None, None

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()


@dataclass(slots=True)
class Fetches:
    """All fetches of this process: single-flight per source, remembered once they succeeded."""

    fetcher: Fetcher
    now: Callable[[], datetime]
    changed: Callable[[Source], None]  # called after each change of its state
    _states: dict[Source, FetchState] = field(default_factory=dict)

    def state(self, source: Source) -> FetchState:
        return self._states.get(source) or FetchState()

    def start(self, source: Source) -> "asyncio.Task[Fetched]":
        """Fetch unless that is under way."""
        state = self._states.setdefault(source, FetchState())
        if state.task is None or state.task.done():
            state.task = asyncio.create_task(self._fetch(source, state), name=f"fetch {source.model}")
            # Who waits gets the error; a prefetch that nobody waits for is not an unhandled one.
            state.task.add_done_callback(lambda task: task.cancelled() or task.exception())
            self.changed(source)
        return state.task

    async def ensure(self, source: Source) -> Fetched:
        """The model directory of `source`, fetched now if it is not here. Raises FetchFailed."""
        state = self.state(source)
        if state.fetched is not None and not state.stale and not state.running:
            return state.fetched
        task = self.start(source)
        try:
            # Others may wait for the same fetch: one who goes does not end it.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and not _cancelling():
                raise FetchFailed(PodFailure(Reason.CRASH_LOOP, "the fetch was stopped")) from None
            raise

    def distrust(self, source: Source) -> None:
        """Look again before `source` is used next: a pod that should have served it failed."""
        if source in self._states:
            self._states[source].stale = True

    def look_again(self) -> None:
        """Look again at every source, and forget why the last fetches failed: somebody says the world has changed."""
        for state in self._states.values():
            state.stale = True
            state.forget_failures()

    def keep_only(self, sources: Collection[Source]) -> None:
        """Stop and forget what no model names any more."""
        for source in self._states.keys() - set(sources):
            if task := self._states.pop(source).task:
                task.cancel()

    async def close(self) -> None:
        """Stop all of them."""
        tasks = [state.task for state in self._states.values() if state.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, source: Source, state: FetchState) -> Fetched:
        def progress(cache: CacheStatus) -> None:
            state.cache = cache
            self.changed(source)

        try:
            state.fetched = await self.fetcher.fetch(source, progress)
        except FetchFailed as error:
            state.failed(error.failure, self.now())
            raise
        except (OSError, ValueError) as error:
            failure = PodFailure(Reason.CRASH_LOOP, f"the fetch could not be started or followed: {error}")
            state.failed(failure, self.now())
            raise FetchFailed(failure) from error
        else:
            state.stale = False
            state.forget_failures()
            return state.fetched
        finally:
            # After the task is done, so that `running` is false for whoever looks then.
            asyncio.get_running_loop().call_soon(self.changed, source)


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
