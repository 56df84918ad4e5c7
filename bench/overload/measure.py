"""Two legs through a router and a runtime: as many callers as have a place, and then ten times as many a second."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.engine.prompts import short
from bench.engine.servers import Contender, Running, running
from bench.overload.callers import Call, callers

TIMES = 10  # of what the server can do
_PATIENCE_FACTOR = TIMES + 2  # working off what was told to come back takes as long as ten legs
_RUNTIME = (
    *("-m", "hfmodel_runtime", "serve", "--port", "{port}", "--model-dir", "{model}", "--model-id", "m"),
    *("--threads", "{threads}", "--log-level", "warning"),
)


PARTS = ("callers", "router", "runtime")


@dataclass(frozen=True, slots=True)
class Usage:
    """What each of `PARTS` takes, `seconds` after the leg began: resident bytes, and CPU seconds since it started."""

    seconds: float
    resident: Mapping[str, int]
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Leg:
    """What happened while newcomers came, and to them afterwards."""

    began: float
    seconds: float
    calls: Sequence[Call]
    usage: Sequence[Usage]

    @property
    def answered(self) -> list[Call]:
        return [call for call in self.calls if call.answered is not None]

    @property
    def per_second(self) -> float:
        """Requests answered a second while newcomers came."""
        end = self.began + self.seconds
        return sum(call.answered is not None and call.answered < end for call in self.calls) / self.seconds

    def cores(self, part: str) -> float:
        """CPU seconds a second while newcomers came."""
        first, *later = self.usage
        last = next((each for each in later if each.seconds >= self.seconds), later[-1])
        return (last.cpu[part] - first.cpu[part]) / (last.seconds - first.seconds)

    def latency(self, share: float) -> float:
        """Seconds that this share of the accepted requests did not exceed."""
        times = sorted(call.latency for call in self.answered)
        return times[min(len(times) - 1, int(share * len(times)))]

    @property
    def promises(self) -> list[tuple[float, float]]:
        """Of each who was refused and let in later: the seconds first told, and the seconds it took."""
        return [
            (call.told[0], call.let_in - call.began)
            for call in self.calls
            if call.was_refused and call.let_in is not None
        ]

    @property
    def kept(self) -> float:
        """Share of the promises that were right within a factor of two."""
        return sum(took / 2 <= told <= 2 * took for told, took in self.promises) / max(1, len(self.promises))

    @property
    def at_once(self) -> float:
        """Share of those who came back when told and were let in at that first return."""
        came_back = [call for call in self.calls if len(call.told) > 1 or (call.was_refused and call.let_in)]
        return sum(len(call.told) == 1 for call in came_back) / max(1, len(came_back))


@dataclass(frozen=True, slots=True)
class Outcome:
    """At capacity, and at ten times that."""

    capacity: Leg
    overload: Leg

    @property
    def throughput(self) -> float:
        return self.overload.per_second / self.capacity.per_second

    def growth(self, part: str) -> float:
        """The most memory that the part took in the second half of the overload, to the first half."""
        memory = [each.resident[part] for each in self.overload.usage]
        half = len(memory) // 2
        return max(memory[half:]) / max(memory[:half])


def measure(
    *,
    model_dir: Path,
    threads: int,
    running_most: int,
    queued_most: int,
    seconds: float,
    prompts: Callable[[int], Sequence[str]] = lambda seed: short(5000, seed=seed),
) -> Outcome:
    """Starts both servers, and ends them.

    Args:
        prompts: by a seed; another seed gives others.
    """
    limits = ("--max-running", str(running_most), "--max-queued", str(queued_most))
    runtime = Contender("runtime", (*_RUNTIME, *limits), "/readyz", "m")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = Path(folder)
        [pod] = stack.enter_context(running([runtime], model_dir=model_dir, threads=threads, logs=logs))
        command = ("-m", "hfmodel_router", "--port", "{port}", "--log-level", "warning", "--backend", f"m={pod.url}")
        router = Contender("router", command, "/readyz", "m")
        [front] = stack.enter_context(running([router], model_dir=model_dir, threads=threads, logs=logs))
        asyncio.run(_capacity(front, pod, prompts(0), clients=2, seconds=3))
        capacity = asyncio.run(_capacity(front, pod, prompts(1), clients=2 * running_most, seconds=seconds))
        if not capacity.answered:
            raise SystemExit("nothing was answered at capacity: give it more --seconds")
        rate = TIMES * capacity.per_second
        return Outcome(capacity, asyncio.run(_overload(front, pod, prompts(2), rate=rate, seconds=seconds)))


async def _capacity(front: Running, pod: Running, prompts: Sequence[str], *, clients: int, seconds: float) -> Leg:
    async with callers(front.url, prompts, seed=1) as load:
        began = time.perf_counter()
        usage = await _watched(load.closed_loop(clients=clients, seconds=seconds), front, pod)
    return Leg(began, seconds, load.calls, usage)


async def _overload(front: Running, pod: Running, prompts: Sequence[str], *, rate: float, seconds: float) -> Leg:
    async with callers(front.url, prompts, seed=2) as load:
        began = time.perf_counter()
        patience = _PATIENCE_FACTOR * seconds
        usage = await _watched(load.open_loop(rate=rate, seconds=seconds, patience=patience), front, pod)
    return Leg(began, seconds, load.calls, usage)


async def _watched(load: Coroutine[None, None, None], front: Running, pod: Running) -> list[Usage]:
    began, usage = time.perf_counter(), list[Usage]()
    task = asyncio.ensure_future(load)
    while not task.done():
        usage.append(_usage(time.perf_counter() - began, front, pod))
        await asyncio.wait({task}, timeout=0.5)
    task.result()
    return [*usage, _usage(time.perf_counter() - began, front, pod)]


def _usage(seconds: float, front: Running, pod: Running) -> Usage:
    times = os.times()
    cpu = {"callers": times.user + times.system, "router": front.cpu_seconds(), "runtime": pod.cpu_seconds()}
    here = psutil.Process().memory_info().rss
    resident = {"callers": here, "router": front.resident_bytes(), "runtime": pod.resident_bytes()}
    return Usage(seconds, resident, cpu)
