"""Closed-loop clients: each sends its next request when the last one is answered."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.engine.servers import Running

_PRESSURE = Path("/proc/pressure/cpu")
_PATIENCE = aiohttp.ClientTimeout(total=1800)


@dataclass(frozen=True, slots=True)
class Answered:
    """One request, as its client saw it."""

    first_token_seconds: float
    tokens: int  # of the answer
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Leg:
    """What one server did under one load."""

    seconds: float
    cpu_seconds: float  # of the server
    contended: float  # share of the time in which something on this machine waited for a CPU
    answers: tuple[Answered, ...]

    @property
    def tokens(self) -> int:
        return sum(answer.tokens for answer in self.answers)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def cpu_ms_per_token(self) -> float:
        return 1000 * self.cpu_seconds / self.tokens

    def first_token(self, share: float) -> float:
        """Seconds to the first token that this share of the requests did not exceed."""
        times = sorted(answer.first_token_seconds for answer in self.answers)
        return times[min(len(times) - 1, int(share * len(times)))]


async def drive(server: Running, prompts: Sequence[str], *, clients: int, new_tokens: int) -> Leg:
    """`prompts` answered by so many clients at once, in order."""
    waiting = list(reversed(prompts))
    answers: list[Answered] = []

    async def client(session: aiohttp.ClientSession) -> None:
        while waiting:
            answers.append(await _ask(session, server, waiting.pop(), new_tokens=new_tokens))

    async with aiohttp.ClientSession(timeout=_PATIENCE, connector=aiohttp.TCPConnector(limit=0)) as session:
        waited, cpu, started = _waited_seconds(), server.cpu_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(session))
        seconds = time.perf_counter() - started
    contended = (_waited_seconds() - waited) / seconds
    return Leg(seconds, server.cpu_seconds() - cpu, contended, tuple(answers))


async def _ask(session: aiohttp.ClientSession, server: Running, prompt: str, *, new_tokens: int) -> Answered:
    body = {
        "model": server.model,
        "prompt": prompt,
        "max_tokens": new_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **dict(server.contender.extra),
    }
    started = time.perf_counter()
    first: float | None = None
    pieces, usage = 0, {"completion_tokens": 0, "prompt_tokens": 0}
    async with session.post(f"{server.url}/v1/completions", json=body) as response:
        if response.status != 200:
            raise SystemExit(f"{server.contender.name} answered {response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            event = _event(line)
            if event is None:
                continue
            if event.get("choices"):
                pieces += 1
                first = first or time.perf_counter() - started
            usage = event.get("usage") or usage
    if first is None:
        raise SystemExit(f"{server.contender.name} answered without a token")
    return Answered(first, usage["completion_tokens"] or pieces, usage["prompt_tokens"])


def _waited_seconds() -> float:
    """Since the machine started, the time in which a process could have run and had no CPU; 0 where nobody counts."""
    try:
        some = _PRESSURE.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a line of a stream; None for what is none, and for the stream's end."""
    data = line.strip().removeprefix(b"data: ")
    return json.loads(data) if data.startswith(b"{") else None
