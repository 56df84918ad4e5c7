"""An installation on a node, as what is struck: pods by kubectl, processes by their numbers on this machine."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from chaos.apiserver import ApiServer
from chaos.local import max_length_of
from chaos.parts import Part, Parts
from chaos.plan import Fault, Kind
from chaos.processes import kill, pause, until_dead
from chaos.questions import MODELS
from chaos.rig import Hit
from support.installation import Installation

_KINDS: Final = (
    Kind.STOP_POD,
    Kind.KILL_POD,
    Kind.KILL_RUNTIME,
    Kind.PAUSE_RUNTIME,
    Kind.STOP_ROUTER,
    Kind.KILL_ROUTER,
    Kind.RESTART_ROUTERS,
    Kind.STOP_OPERATOR,
    Kind.KILL_OPERATOR,
    Kind.PAUSE_API,
    Kind.RESTART_API,
    Kind.FLOOD,
    Kind.CHANGE_SPEC,
    Kind.UNLOAD,
)
_ROUTERS: Final = 2
# After an endpoint is gone from the API, until the node's packet filters know; a connection begun until then may fail.
_SPREAD_SECONDS: Final = 3.0


@dataclass(slots=True, kw_only=True)
class NodeRig:
    """A `Rig` on a node."""

    installation: Installation
    api: ApiServer
    bound: int
    versions: dict[str, str]
    name: str = "node"
    kinds: Sequence[Kind] = _KINDS
    gap: tuple[float, float] = (3.0, 7.0)
    _changes: int = 0
    # One after the other: what is tested is a part's end, not that none of its kind is left.
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.installation.url

    @property
    def parts(self) -> Parts:
        return Parts(self.installation.kubectl)

    def logs(self) -> str:
        return self.parts.logs()

    async def strike(self, fault: Fault) -> Hit | None:
        """See `Rig`."""
        match fault.kind:
            case Kind.STOP_POD | Kind.KILL_POD | Kind.KILL_RUNTIME | Kind.PAUSE_RUNTIME:
                return await self._strike_model(fault)
            case Kind.STOP_ROUTER | Kind.KILL_ROUTER | Kind.RESTART_ROUTERS:
                async with self._turn("router"):
                    return await self._strike_router(fault)
            case Kind.STOP_OPERATOR | Kind.KILL_OPERATOR:
                async with self._turn("operator"):
                    return await self._strike_operator(fault)
            case Kind.PAUSE_API | Kind.RESTART_API:
                async with self._turn("api"):
                    return await self._strike_api(fault)
            case Kind.CHANGE_SPEC:
                return await self._change_spec(MODELS[fault.number % len(MODELS)])
            case Kind.UNLOAD:
                return await self._unload(MODELS[fault.number % len(MODELS)])
        raise ValueError(f"{fault.kind}: not on a node")

    async def heal(self) -> None:
        """Wait for operator and routers; models heal as they are asked."""
        await self.parts.until_whole("router", count=_ROUTERS)
        await self.parts.until_whole("operator", count=1)

    def _turn(self, name: str) -> asyncio.Lock:
        return self._turns.setdefault(name, asyncio.Lock())

    async def _strike_model(self, fault: Fault) -> Hit | None:
        pods = await self.parts.of_models()
        if not pods:
            return None
        pod = pods[fault.number % len(pods)]
        hit = Hit(pod.name, pod.model)
        match fault.kind:
            case Kind.KILL_RUNTIME:
                return hit if await kill(pod.pid) else None
            case Kind.PAUSE_RUNTIME:
                return hit if await pause(pod.pid, seconds=fault.seconds) else None
        await self.parts.delete(pod, by_force=fault.kind is Kind.KILL_POD)
        await until_dead(pod.pid)
        return hit

    async def _strike_router(self, fault: Fault) -> Hit | None:
        routers = await self.parts.of("router")
        if len(routers) < _ROUTERS:
            return None
        router = routers[fault.number % len(routers)]
        if fault.kind is Kind.RESTART_ROUTERS:
            await self.parts.roll_out("router")
            return Hit("both routers")
        await self._end(router, by_force=fault.kind is Kind.KILL_ROUTER, number=fault.number)
        await self.parts.until_whole("router", count=_ROUTERS, without=router)
        if fault.kind is Kind.KILL_ROUTER:
            await asyncio.sleep(_SPREAD_SECONDS)
        return Hit(router.name)

    async def _strike_operator(self, fault: Fault) -> Hit | None:
        operators = await self.parts.of("operator")
        if not operators:
            return None
        await self._end(operators[0], by_force=fault.kind is Kind.KILL_OPERATOR, number=fault.number)
        await self.parts.until_whole("operator", count=1, without=operators[0])
        return Hit(operators[0].name)

    async def _end(self, part: Part, *, by_force: bool, number: int) -> None:
        """By force: its pod is deleted so, or its process is killed and started again in its pod."""
        if by_force and number % 2:
            await kill(part.pid)
            return
        await self.parts.delete(part, by_force=by_force)
        if by_force:
            await until_dead(part.pid)

    async def _strike_api(self, fault: Fault) -> Hit:
        if fault.kind is Kind.PAUSE_API:
            await self.api.pause(seconds=2 * fault.seconds)
        else:
            await self.api.restart()
        return Hit("the API server")

    async def _change_spec(self, model: str) -> Hit:
        self._changes += 1
        patch = {"spec": {"maxLength": max_length_of(model, change=self._changes)}}
        await self.parts.kubectl("patch", "hfmodel", model, "--type=merge", f"--patch={json.dumps(patch)}")
        return Hit(model, model)

    async def _unload(self, model: str) -> Hit | None:
        async with httpx.AsyncClient(trust_env=False) as http:
            try:
                answer = await http.post(f"{self.url}/models/{model}/unload?wait=false", timeout=30)
            except httpx.TransportError:
                return None  # the router that was asked is the one that is being killed
        return Hit(model, model) if answer.is_success else None
