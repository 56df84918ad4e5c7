"""One number of models: applied, left alone, wanted, awake. What each part takes and costs."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.operator_scale.audit import Calls, without
from bench.operator_scale.follow import Followed, following
from bench.operator_scale.kubelet import playing_kubelet
from bench.operator_scale.rig import NAMESPACE, Rig, operator, started_rig
from bench.operator_scale.router import RouterFigures, measure_router
from bench.operator_scale.router_client import router_api
from bench.operator_scale.usage import Cpu, Meter
from hfmodel_operator.cluster.api import HFMODELS

_PATIENCE = 600.0  # seconds for what should take at most 60
_WANT_PATIENCE = 60.0
_QUIET_SECONDS = 3.0
_BETWEEN_WANTS = 0.2  # seconds, of those that come one by one
_OWN_AFFAIRS = ("leases",)  # renewed whatever there is to do


@dataclass(frozen=True, slots=True)
class Course:
    """What is asked for: `wants` models are woken one by one, and as many at once."""

    models: int
    wants: int
    idle_seconds: float
    prefetch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Times are seconds, `cpu` is for the whole part; calls are the operator's own."""

    course: Course
    settled: int
    settle_seconds: float
    settle_cpu: Cpu
    settle_calls: Mapping[str, int]
    idle_cpu: Cpu
    idle_calls: Mapping[str, int]
    paced: "Wakes"
    burst: "Wakes"
    awake_cpu: Cpu
    awake_calls: Mapping[str, int]
    resident_mib: float
    router: RouterFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Wakes:
    """From a want sent to its pod seen by a watcher, and to its model's status Ready."""

    to_pod: tuple[float, ...]
    to_ready: tuple[float, ...]
    wanted: int
    cpu: Cpu
    calls: Mapping[str, int]


async def measure(course: Course) -> Figures:
    """The figures of one course, on a control plane of its own."""
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(started_rig())
        router_kube = await stack.enter_async_context(router_api(rig.plane.kubeconfig))
        followed = await stack.enter_async_context(following(router_kube, NAMESPACE))
        await stack.enter_async_context(playing_kubelet(rig.api, followed, port=rig.runtime_port))
        meter = await stack.enter_async_context(operator(rig))
        return await _Session(course, rig, followed, meter).run()


@dataclass(slots=True)
class _Session:
    course: Course
    rig: Rig
    followed: Followed
    meter: Meter

    async def run(self) -> Figures:
        names = [f"model-{number:05d}" for number in range(self.course.models)]
        await self._quiet()
        before = self.meter.cpu()
        seconds = await self._settle(names)
        calls = await self._quiet()
        settle_cpu = self.meter.cpu().since(before)
        idle_cpu, idle_calls = await self._rest()
        chosen = random.Random(0).sample(names, min(2 * self.course.wants, len(names)))  # noqa: S311 - of a bench
        half = len(chosen) // 2
        paced = await self._wake(chosen[:half], apart=_BETWEEN_WANTS)
        burst = await self._wake(chosen[half:], apart=0.0)
        awake_cpu, awake_calls = await self._rest()
        return Figures(
            course=self.course,
            settled=len(self.followed.settled),
            settle_seconds=seconds,
            settle_cpu=settle_cpu,
            settle_calls=dict(calls),
            idle_cpu=idle_cpu,
            idle_calls=dict(idle_calls),
            paced=paced,
            burst=burst,
            awake_cpu=awake_cpu,
            awake_calls=dict(awake_calls),
            resident_mib=self.meter.resident_mib(),
            router=await measure_router(self.rig, self.course.idle_seconds),
        )

    async def _settle(self, names: Sequence[str]) -> float:
        began = time.monotonic()
        await self.rig.apply(list(names), prefetch=self.course.prefetch)
        settled = self.followed.settled
        await self.followed.until(lambda: len(settled) == len(names), seconds=_PATIENCE)
        return max(settled.values(), default=began) - began

    async def _wake(self, names: Sequence[str], *, apart: float) -> Wakes:
        """Want them all, each `apart` seconds after the one before."""
        before, wanted = self.meter.cpu(), {}
        self.rig.audit.calls()
        async with asyncio.TaskGroup() as wants:
            for name in names:
                wanted[name] = time.monotonic()
                wants.create_task(self._want(name))
                await asyncio.sleep(apart)
        ready, created = self.followed.ready, self.followed.pod_created
        await self.followed.until(lambda: all(name in ready for name in names), seconds=_WANT_PATIENCE)
        calls = await self._quiet()
        return Wakes(
            to_pod=tuple(created[name] - at for name, at in wanted.items() if name in created),
            to_ready=tuple(ready[name] - at for name, at in wanted.items() if name in ready),
            wanted=len(names),
            cpu=self.meter.cpu().since(before),
            calls=dict(calls),
        )

    async def _want(self, name: str) -> None:
        at = datetime.now(UTC).isoformat()
        await self.rig.api.patch(HFMODELS, name, {"status": {"demand": {"wantedAt": at}}}, part="status")

    async def _rest(self) -> tuple[Cpu, Calls]:
        self.rig.audit.calls()
        before = self.meter.cpu()
        await asyncio.sleep(self.course.idle_seconds)
        return self.meter.cpu().since(before), self.rig.audit.calls()

    async def _quiet(self) -> Calls:
        """Wait until the operator asks for nothing more; returns all that it has asked for meanwhile."""
        found = self.rig.audit.calls()
        while True:
            await asyncio.sleep(_QUIET_SECONDS)
            news = self.rig.audit.calls()
            found += news
            if not _writes(without(news, *_OWN_AFFAIRS)):
                return found


def _writes(calls: Calls) -> int:
    return sum(count for call, count in calls.items() if call.split()[0] in ("create", "patch", "update", "delete"))
