"""A namespace of an API server in memory: it keeps a history to watch, and fails when told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hfmodel_router.kube.errors import ApiError, Expired
from hfmodel_router.kube.listwatch import Event, Page
from hfmodel_router.kube.objects import Json, ModelRecord, Pod, read_model, read_pod

T = TypeVar("T")


class FakeCollection(Generic[T]):
    """Implements `listwatch.Source` over JSON documents.

    Errors in `list_errors` and `watch_errors` are raised one by one, by the next calls.
    """

    def __init__(self, read: Callable[[Json], T | None]) -> None:
        self.objects: dict[str, Json] = {}
        self.lists = 0
        self.watches: list[str] = []  # the versions they began at
        self.list_errors: list[Exception] = []
        self.watch_errors: list[Exception] = []
        self._read = read
        self._history: list[tuple[int, Event[T]]] = []
        self._version = 0
        self._forgotten = 0
        self._news = asyncio.Event()
        self._broken: ApiError | None = None
        self._breaks = 0

    # What the router calls.
    async def list(self) -> Page[T]:
        self.lists += 1
        if self.list_errors:
            raise self.list_errors.pop(0)
        return Page(self.items(), str(self._version))

    async def watch(self, version: str) -> AsyncGenerator[Event[T], None]:
        self.watches.append(version)
        if self.watch_errors:
            raise self.watch_errors.pop(0)
        seen, breaks = int(version), self._breaks
        while True:
            if self._breaks != breaks:
                if self._broken is not None:
                    raise self._broken
                return
            if seen < self._forgotten:
                raise Expired("too old resource version")
            news = [(at, event) for at, event in self._history if at > seen]
            for at, event in news:
                seen = at
                yield event
            if not news:
                self._news.clear()
                await self._news.wait()

    # What tests call.
    def items(self) -> Sequence[T]:
        read = (self._read(document) for document in self.objects.values())
        return [item for item in read if item is not None]

    def put(self, document: Json) -> None:
        name = document["metadata"]["name"]
        self.objects[name] = document
        item = self._read(document)
        version = str(self._version + 1)
        self._add(Event(version=version, removed=name) if item is None else Event(version=version, put=item))

    def remove(self, name: str) -> None:
        self.objects.pop(name, None)
        self._add(Event(version=str(self._version + 1), removed=name))

    def bookmark(self) -> None:
        self._add(Event(version=str(self._version + 1)))

    def break_watches(self, error: ApiError | None = None) -> None:
        """End every watch, as the server does from time to time; or with an error."""
        self._broken = error
        self._breaks += 1
        self._news.set()

    def forget(self) -> None:
        """The history up to now cannot be watched any more."""
        self._forgotten = self._version
        self._history.clear()

    @property
    def version(self) -> str:
        return str(self._version)

    def _add(self, event: Event[T]) -> None:
        self._version += 1
        self._history.append((self._version, event))
        self._news.set()


@dataclass(slots=True)
class FakeCluster:
    """Implements `kube.fleet.Cluster`. Errors in `write_errors` are raised one by one, by the next writes."""

    models: FakeCollection[ModelRecord] = field(default_factory=lambda: FakeCollection(read_model))
    pods: FakeCollection[Pod] = field(default_factory=lambda: FakeCollection(read_pod))
    writes: list[tuple[str, Any]] = field(default_factory=list)
    write_errors: list[Exception] = field(default_factory=list)

    async def merge_status(self, model_id: str, status: Json) -> None:
        self.writes.append((model_id, status))
        if self.write_errors:
            raise self.write_errors.pop(0)
