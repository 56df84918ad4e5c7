"""`hfmodel up` as what is struck: its runtimes and their parent are processes here, itself is the only router."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from chaos.plan import Fault, Kind
from chaos.processes import kill, pause, send, stdout_of, until_dead
from chaos.questions import MODELS, REAL, STEADY
from chaos.reference import Reference
from chaos.rig import Hit
from support.alive import with_marker
from support.hfmodel_up import RunningUp, hfmodel_up, write_manifest

_KINDS: Final = (
    Kind.KILL_RUNTIME,
    Kind.KILL_RUNTIME,
    Kind.STOP_POD,
    Kind.PAUSE_RUNTIME,
    Kind.KILL_ZYGOTE,
    Kind.FLOOD,
    Kind.CHANGE_SPEC,
    Kind.UNLOAD,
)
_MAX_LOADED: Final = 2
_BOUND: Final = 48
# The router gives up a request on which pods die three times, as it may be what kills them. Here something else does.
RETRY_LIMIT: Final = 20
_NOT_PODS: Final = frozenset({"zygote.log", "fetch.log"})


def scaling_of(model: str) -> dict[str, Any]:
    """Short times, so that much happens in a minute."""
    if model == STEADY:
        return {"idleTimeout": "2s", "maxReplicas": 2, "targetInFlight": 2, "scaleDownDelay": "2s"}
    return {"idleTimeout": "2s"}


def max_length_of(model: str, *, change: int) -> int:
    """A part of the spec that no answer depends on, another one after each change."""
    return (600 if model == REAL else 94) + change % 2


@contextmanager
def local_rig(work: Path, reference: Reference) -> Iterator["LocalRig"]:
    """A running `hfmodel up` with everything of it below `work`; nothing of it runs afterwards."""
    catalog = work / "catalog"
    catalog.mkdir()
    for model in MODELS:
        _write(catalog, model, reference.folders, change=0)
    marker = f"HFMODEL_TEST_MARKER={work}"
    environment = {
        "HFMODEL_TEST_MARKER": str(work),
        "HFMODEL_MAX_HELD_PER_MODEL": str(_BOUND),
        "HFMODEL_RETRY_LIMIT": str(RETRY_LIMIT),
        "HFMODEL_JSON_LOGS": "1",
    }
    with hfmodel_up(catalog, "--max-loaded", str(_MAX_LOADED), work=work, env=environment) as running:
        yield LocalRig(running=running, catalog=catalog, folders=reference.folders, marker=marker)
    assert with_marker(marker) == set(), "processes of `hfmodel up` outlived it"


def _write(catalog: Path, model: str, folders: Mapping[str, Path], *, change: int) -> None:
    kind = "instruction" if model == REAL else "text"
    length = max_length_of(model, change=change)
    write_manifest(catalog, model, path=folders[model], type=kind, scaling=scaling_of(model), maxLength=length)


@dataclass(slots=True, kw_only=True)
class LocalRig:
    """A `Rig` on this machine."""

    running: RunningUp
    catalog: Path
    folders: Mapping[str, Path]
    marker: str
    name: str = "local"
    bound: int = _BOUND
    kinds: Sequence[Kind] = _KINDS
    gap: tuple[float, float] = (2.0, 6.0)
    _changes: int = 0

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def versions(self) -> dict[str, str]:
        return {}

    def logs(self) -> str:
        return self.running.output

    async def strike(self, fault: Fault) -> Hit | None:
        """See `Rig`."""
        match fault.kind:
            case Kind.KILL_ZYGOTE:
                return await self._kill_zygote()
            case Kind.CHANGE_SPEC:
                model = MODELS[fault.number % len(MODELS)]
                self._changes += 1
                _write(self.catalog, model, self.folders, change=self._changes)
                return Hit(model, model)
            case Kind.UNLOAD:
                return await self._unload(MODELS[fault.number % len(MODELS)])
        return await self._strike_runtime(fault)

    async def heal(self) -> None:
        """Everything heals by itself here; whoever is hurt for good fails the last questions."""

    async def _strike_runtime(self, fault: Fault) -> Hit | None:
        runtimes = sorted(self._runtimes().items())
        if not runtimes:
            return None
        pid, pod = runtimes[fault.number % len(runtimes)]
        match fault.kind:
            case Kind.KILL_RUNTIME:
                was_there = await kill(pid)
            case Kind.PAUSE_RUNTIME:
                was_there = await pause(pid, seconds=fault.seconds)
            case Kind.STOP_POD:
                was_there = send(pid, signal.SIGTERM)
                await until_dead(pid)
            case _:
                raise ValueError(f"{fault.kind}: not on this machine")
        return Hit(pod, pod.rpartition("-")[0]) if was_there else None

    async def _kill_zygote(self) -> Hit | None:
        for pid in with_marker(self.marker):
            log = stdout_of(pid)
            if log is not None and log.name == "zygote.log" and await kill(pid):
                return Hit("the parent of the runtimes")
        return None

    async def _unload(self, model: str) -> Hit:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{self.url}/models/{model}/unload?wait=false")
        answer.raise_for_status()
        return Hit(model, model)

    def _runtimes(self) -> dict[int, str]:
        """The pod of each serving process, by its number: its output goes to the pod's log."""
        logs = {pid: stdout_of(pid) for pid in with_marker(self.marker)}
        return {
            pid: log.stem
            for pid, log in logs.items()
            if log is not None and log.parent.parent.name == "run" and log.name not in _NOT_PODS
        }
