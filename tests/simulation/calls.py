"""The way between one process and the API server: late, interrupted, or answered to nobody."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final

from simulation.api_server import ApiServer, Json, Refused, matches

_PATIENCE: Final = 5.0  # seconds until a call that gets no answer is given up
_WATCH_SECONDS: Final = 45.0


class NoAnswer(Exception):
    """The call was lost on its way there or back; nobody knows which."""


@dataclass(slots=True)
class Weather:
    """What holds between everybody and the API server. Times are seconds, drawn evenly from 0 to the bound."""

    random: random.Random
    call_delay: float = 0.05  # each way
    watch_delay: float = 0.3
    api_is_away: bool = False
    losses: float = 0.0  # the share of answers that never arrive, though the call was carried out

    def delay(self, most: float) -> float:
        return self.random.uniform(0, most)


@dataclass(slots=True)
class Process:
    """What calls: it can be killed, or stand still, at every await."""

    name: str
    alive: bool = True
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0  # that change something, carried out so far
    dies_after: int | None = None  # so many of them; then no answer ever arrives
    died: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.goes_on.set()

    def kill(self) -> None:
        self.alive = False
        self.died.set()

    async def gate(self) -> None:
        """Returns while the process runs; never again once it was killed."""
        if not self.alive:
            await asyncio.Future()
        await self.goes_on.wait()


@dataclass(slots=True)
class Line:
    """The API server as one process sees it."""

    server: ApiServer
    weather: Weather
    process: Process
    _broken: int = 0

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Json | None) -> Json:
        """Raises NoAnswer, or Refused."""
        await asyncio.sleep(self.weather.delay(self.weather.call_delay))
        await self._reach()
        try:
            answer: Json | Refused = self.server.call(self.process.name, method, path, query=query, body=body)
        except Refused as refused:
            answer = refused
        if method != "GET":
            self._count()
        await asyncio.sleep(self.weather.delay(self.weather.call_delay))
        await self._reach()
        if method != "GET" and self.weather.random.random() < self.weather.losses:
            raise NoAnswer
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def watch(self, path: str, version: str, *, selector: str | None = None) -> AsyncGenerator[Json, None]:
        """Watch events after `version`, each some time after it happened; ends after a while. Raises NoAnswer."""
        plural = path.rpartition("/")[2]
        news, broken, seen = asyncio.Event(), self._broken, int(version)
        self.server.watchers.append(news.set)
        deadline = asyncio.get_running_loop().time() + _WATCH_SECONDS
        try:
            while asyncio.get_running_loop().time() < deadline:
                news.clear()
                for change in self.server.history[seen:]:  # versions count from 1
                    seen = change.version
                    if change.plural != plural or not matches(change.thing, selector):
                        continue
                    await asyncio.sleep(self.weather.delay(self.weather.watch_delay))
                    await self.process.gate()
                    if self._broken != broken or self.weather.api_is_away:
                        raise NoAnswer
                    yield {"type": change.kind, "object": change.thing}
                try:
                    async with asyncio.timeout_at(deadline):
                        await news.wait()
                except TimeoutError:
                    return
        finally:
            self.server.watchers.remove(news.set)

    def break_watches(self) -> None:
        """At their next event."""
        self._broken += 1

    async def _reach(self) -> None:
        await self.process.gate()
        if self.weather.api_is_away:
            await asyncio.sleep(self.weather.delay(_PATIENCE))
            raise NoAnswer

    def _count(self) -> None:
        self.process.calls += 1
        if self.process.calls == self.process.dies_after:
            self.process.kill()
