"""Callers who obey Retry-After, and what they saw."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

_GRACE = 0.05  # seconds; who is told to come in a second does not come a moment before it


@dataclass(slots=True)
class Call:
    """One caller's request until it is answered, or given up at the end of the leg. Times in seconds."""

    began: float
    told: list[int] = field(default_factory=list)  # each Retry-After
    let_in: float | None = None  # when the attempt was sent that was answered
    answered: float | None = None
    other: int | None = None  # a status that should not be

    @property
    def was_refused(self) -> bool:
        return bool(self.told)

    @property
    def latency(self) -> float:
        """Of the attempt that was answered."""
        assert self.answered is not None  # noqa: S101 - only asked of those
        assert self.let_in is not None  # noqa: S101
        return self.answered - self.let_in


class Callers:
    """Ask one model through one URL. Every prompt is another, so none is found in a cache."""

    def __init__(self, http: aiohttp.ClientSession, prompts: Sequence[str], *, seed: int) -> None:
        self._http = http
        self._prompts: Iterator[str] = itertools.cycle(prompts)
        self._chance = random.Random(seed)  # noqa: S311 - not a secret
        self.calls: list[Call] = []

    async def closed_loop(self, *, clients: int, seconds: float) -> None:
        """So many callers, each of whom asks again once answered."""
        end = time.perf_counter() + seconds

        async def client() -> None:
            while time.perf_counter() < end:
                await self._call(until=end)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())

    async def open_loop(self, *, rate: float, seconds: float, patience: float) -> None:
        """Newcomers at `rate` a second for so long; those who were refused may come back until `patience` later."""
        end = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            while time.perf_counter() < end:
                group.create_task(self._call(until=end + patience))
                await asyncio.sleep(self._chance.expovariate(rate))

    async def _call(self, *, until: float) -> None:
        call = Call(time.perf_counter())
        self.calls.append(call)
        body = {
            "model": "m",
            "prompt": next(self._prompts),
            "max_tokens": self._chance.randint(8, 24),
            "temperature": 0,
            "ignore_eos": True,
        }
        while True:
            sent = time.perf_counter()
            async with self._http.post("/v1/completions", json=body) as response:
                await response.read()
                if response.status == 200:
                    call.let_in, call.answered = sent, time.perf_counter()
                    return
                if response.status != 429:
                    call.other = response.status
                    return
                call.told.append(int(response.headers["retry-after"]))
            if time.perf_counter() + call.told[-1] > until:
                return
            await asyncio.sleep(call.told[-1] + _GRACE)


@asynccontextmanager
async def callers(url: str, prompts: Sequence[str], *, seed: int) -> AsyncIterator[Callers]:
    """With connections of their own."""
    timeout = aiohttp.ClientTimeout(total=1800)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Callers(http, prompts, seed=seed)
