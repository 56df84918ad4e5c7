"""The running parts of an installation: which pods there are, which process each one is, when all are whole again."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

from chaos.processes import all_processes, command_of, variable_of
from hfmodel_api.names import LABEL_MODEL
from support.kubectl import Json, Kubectl, KubectlFailed

_POLL_SECONDS: Final = 0.3
# Of the API server's absence at most, and of a part's way back.
_PATIENCE_SECONDS: Final = 120.0
_COMPONENT: Final = "app.kubernetes.io/component"
_PROGRAMS: Final = {"router": "hfmodel-router", "operator": "hfmodel-operator", "model": "hfmodel-runtime serve"}


@dataclass(frozen=True, slots=True)
class Part:
    """One running pod and the process in it."""

    name: str
    uid: str
    pid: int  # on this machine
    restarts: int
    model: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts in one namespace."""

    run: Kubectl

    async def kubectl(self, *arguments: str) -> str:
        """What kubectl prints; tried again while the API server is away."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self.run, *arguments, timeout=_PATIENCE_SECONDS)
            except KubectlFailed:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_POLL_SECONDS)

    async def of_models(self) -> list[Part]:
        """The serving pods that are not going."""
        return await self._parts(LABEL_MODEL, "model")

    async def of(self, component: str) -> list[Part]:
        """The ready pods of operator or router that are not going."""
        return await self._parts(f"{_COMPONENT}={component}", component)

    async def delete(self, part: Part, *, by_force: bool) -> None:
        """Have its pod deleted; returns once the API knows."""
        force = ("--grace-period=0", "--force") if by_force else ()
        await self.kubectl("delete", "pod", part.name, "--ignore-not-found", "--wait=false", *force)

    async def roll_out(self, component: str) -> None:
        """Replace every pod of a Deployment in good order; returns when that is done."""
        (name,) = (await self.kubectl("get", "deployments", f"--selector={_COMPONENT}={component}", "-oname")).split()
        await self.kubectl("rollout", "restart", name)
        await self.kubectl("rollout", "status", name, f"--timeout={_PATIENCE_SECONDS:.0f}s")

    async def until_whole(self, component: str, *, count: int, without: Part | None = None) -> None:
        """Return when `count` pods are ready; `without` is gone then, or its process is a new one.

        Raises:
            TimeoutError: that does not come.
        """
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not self._whole(await self._pods(f"{_COMPONENT}={component}"), count, without):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)

    def logs(self) -> str:
        """What operator and routers wrote, and what there is."""
        pods = self.run("get", "pods", f"--selector={_COMPONENT}", "--output=name").split()
        logs = [f"--- {pod}\n{self._log(pod)}" for pod in pods]
        return "\n".join([*logs, self.run("get", "hfmodels", "--output=yaml"), self.run.picture()])

    def _log(self, pod: str) -> str:
        return self.run("logs", pod, "--all-containers", "--tail=-1")

    async def _parts(self, selector: str, program: str) -> list[Part]:
        pods = [pod for pod in await self._pods(selector) if _is_running(pod)]
        found = await asyncio.to_thread(_processes, _PROGRAMS[program])
        parts = [
            Part(name, pod["metadata"]["uid"], found[name], _restarts(pod), _label(pod))
            for pod in pods
            if (name := pod["metadata"]["name"]) in found
        ]
        return sorted(parts, key=lambda part: part.name)

    async def _pods(self, selector: str) -> list[Json]:
        found: list[Json] = json.loads(await self.kubectl("get", "pods", f"--selector={selector}", "-ojson"))["items"]
        return found

    @staticmethod
    def _whole(pods: list[Json], count: int, without: Part | None) -> bool:
        ready = [pod for pod in pods if _is_running(pod) and _is_ready(pod)]
        if without is not None:
            same = [pod for pod in ready if pod["metadata"]["uid"] == without.uid]
            if any(_restarts(pod) <= without.restarts for pod in same):
                return False
        return len(ready) >= count


def _processes(program: str) -> dict[str, int]:
    """The process that runs `program` in each pod, by the pod's name, which is its host name."""
    running = [pid for pid in all_processes() if program in " ".join(command_of(pid))]
    # The first one is what the others, if any, were started by.
    return {name: pid for pid in reversed(running) if (name := variable_of(pid, "HOSTNAME"))}


def _is_running(pod: Json) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"


def _is_ready(pod: Json) -> bool:
    conditions: list[dict[str, Any]] = pod["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _restarts(pod: Json) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses") or ())


def _label(pod: Json) -> str:
    return str(pod["metadata"]["labels"].get(LABEL_MODEL, ""))
