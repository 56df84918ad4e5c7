"""The router with all models in its catalogue: what knowing them costs, and what listing them does."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp

from bench.operator_scale.rig import NAMESPACE, Rig, process
from bench.operator_scale.usage import Cpu
from bench.ports import free_port

_LISTS = 20
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterFigures:
    """Times are seconds, of which `list_seconds` are those of each `GET /v1/models`; `list_cpu` is for all of them."""

    start_seconds: float
    start_cpu: Cpu
    idle_cpu: Cpu
    list_seconds: tuple[float, ...]
    list_cpu: Cpu
    listed: int
    resident_mib: float


async def measure_router(rig: Rig, idle_seconds: float) -> RouterFigures:
    """Starts a router, asks it, and ends it."""
    port = free_port()
    arguments = ["-m", "hfmodel_router", "--kubernetes", "--namespace", NAMESPACE, "--port", str(port)]
    environment = {"KUBECONFIG": str(rig.plane.kubeconfig)}
    with process(rig, "router", arguments, environment) as meter:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            began, before = time.monotonic(), meter.cpu()
            await _ready(http)
            started = meter.cpu()
            start_seconds, start_cpu = time.monotonic() - began, started.since(before)
            await asyncio.sleep(idle_seconds)
            rested = meter.cpu()
            seconds, listed = [], 0
            for _ in range(_LISTS):
                asked = time.monotonic()
                async with http.get("/v1/models") as response:
                    listed = len((await response.json())["data"])
                seconds.append(time.monotonic() - asked)
            return RouterFigures(
                start_seconds=start_seconds,
                start_cpu=start_cpu,
                idle_cpu=rested.since(started),
                list_seconds=tuple(seconds),
                list_cpu=meter.cpu().since(rested),
                listed=listed,
                resident_mib=meter.resident_mib(),
            )


async def _ready(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                async with http.get("/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
