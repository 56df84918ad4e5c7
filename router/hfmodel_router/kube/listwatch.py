"""Keeps a copy of a collection of the API server: list once, watch from there, and never stop trying.

- A watch that ends goes on from the last version seen, so nothing is missed.
- A version that is too old (410), or an error within the stream, means to list again.
- While the API server is away, what was last known stays.
- Between two tries lies a pause that grows and differs between routers, unless the last try lasted.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from hfmodel_router.kube.errors import ApiError, Expired

logger = logging.getLogger(__name__)

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)

FIRST_PAUSE = 0.2  # seconds
LONGEST_PAUSE = 5.0
_LASTED = 10.0  # seconds; a try that held so long starts the pauses anew


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """A whole collection, and the version to watch from."""

    items: Sequence[T_co]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[T_co]):
    """A change; neither `put` nor `removed` is a bookmark."""

    version: str
    put: T_co | None = None
    removed: str | None = None  # the object's name


class Source(Protocol[T_co]):
    """A collection of the API server. Both raise ApiError."""

    async def list(self) -> Page[T_co]: ...

    def watch(self, version: str) -> AsyncGenerator[Event[T_co], None]:
        """The changes after `version`; ends after a while by itself."""


class Sink(Protocol[T_contra]):
    """Where the copy is kept."""

    def replace(self, items: Sequence[T_contra]) -> None:
        """These are all there are."""

    def put(self, item: T_contra) -> None: ...

    def remove(self, name: str) -> None: ...


def pause(failures: int) -> float:
    """Seconds before the next try after so many in a row."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
    return longest * random.uniform(0.5, 1)  # noqa: S311


class Reflector(Generic[T]):
    """Mirrors `source` into `sink` for as long as `run` runs."""

    def __init__(
        self,
        source: Source[T],
        sink: Sink[T],
        *,
        what: str,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self.synced = asyncio.Event()  # set once the sink has had a whole list
        self._source = source
        self._sink = sink
        self._what = what
        self._sleep = sleep
        self._version: str | None = None
        self._failures = 0
        self._reported = False
        self._asked = asyncio.Event()
        self._askers: list[asyncio.Future[None]] = []

    async def relist(self) -> None:
        """List again now; returns once the sink has it. Raises ApiError where the list cannot be had."""
        asker = asyncio.get_running_loop().create_future()
        self._askers.append(asker)
        self._asked.set()
        await asker

    async def run(self) -> None:
        """Never returns."""
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._try()
                error = ""
            except ApiError as failure:
                error = str(failure)
            except Exception as failure:
                logger.exception("watch failed", extra={"what": self._what})
                self._version = None
                error = repr(failure)
            self._report(error)
            lasted = asyncio.get_running_loop().time() - began >= _LASTED
            if lasted:
                self._failures = 0
            if error or not lasted:
                await self._unless_asked(self._sleep(pause(self._failures)))
                self._failures += 1

    async def _try(self) -> None:
        if self._version is None or self._asked.is_set():
            await self._list()
        await self._unless_asked(self._watch())

    async def _list(self) -> None:
        self._asked.clear()
        askers, self._askers = self._askers, []
        try:
            page = await self._source.list()
            self._sink.replace(page.items)
        except Exception as error:
            for asker in askers:
                if not asker.done():
                    asker.set_exception(error)
            raise
        self._version = page.version
        self.synced.set()
        self._report("")
        for asker in askers:
            if not asker.done():
                asker.set_result(None)

    async def _watch(self) -> None:
        assert self._version is not None  # noqa: S101
        try:
            async with contextlib.aclosing(self._source.watch(self._version)) as events:
                async for event in events:
                    self._failures = 0
                    self._report("")
                    self._apply(event)
                    self._version = event.version
        except Expired as error:
            # Part of normal life: the server keeps the last few minutes only.
            logger.info("listing again", extra={"what": self._what, "reason": str(error)})
            self._version = None

    def _apply(self, event: Event[T]) -> None:
        if event.put is not None:
            self._sink.put(event.put)
        elif event.removed is not None:
            self._sink.remove(event.removed)

    async def _unless_asked(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, unless a list is asked for before it is done."""
        working, asked = asyncio.create_task(work), asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            await _cancel(working, asked)

    def _report(self, error: str) -> None:
        """One line when it begins to fail, and one when it is over."""
        if bool(error) == self._reported:
            return
        self._reported = bool(error)
        if error:
            logger.warning("watch interrupted", extra={"what": self._what, "error": error})
        else:
            logger.info("watching again", extra={"what": self._what})


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
