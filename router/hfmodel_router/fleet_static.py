"""Runtimes that somebody else starts (by hand, compose, systemd), as a Fleet: probed, never woken or let go."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp
from pydantic import ValidationError

from hfmodel_api.errors import HFModelError
from hfmodel_api.spec import HFModel, HFModelSpec
from hfmodel_api.status import Phase, Reason
from hfmodel_api.wire import PATH_INFO, PATH_READYZ, RuntimeInfo
from hfmodel_router.errors import NotUnloadable
from hfmodel_router.fleet import Endpoint, ModelState, Problem

logger = logging.getLogger(__name__)

_PROBE_INTERVAL = 1.0  # seconds
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class InvalidBackend(HFModelError):
    """A backend that is not `ID=URL`."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A runtime, and the model it serves."""

    model_id: str
    url: str  # no slash at the end


def parse_backend(text: str) -> Backend:
    """`ID=URL`; raises InvalidBackend."""
    model_id, _, url = text.partition("=")
    try:
        HFModel(id=model_id, spec=HFModelSpec(model="any"))
    except ValidationError:
        raise InvalidBackend(f"--backend {text}: {model_id!r} is not a model id; write ID=URL") from None
    if not url.startswith(("http://", "https://")) or len(url.partition("://")[2].strip("/")) == 0:
        raise InvalidBackend(f"--backend {text}: {url!r} is not an http URL; write ID=URL")
    return Backend(model_id, url.rstrip("/"))


class StaticFleet:
    """Implements `Fleet`; use it as an async context manager.

    Args:
        backends: several of one model share its requests.
        load_models: what the models are; asked again at `resync`. A backend whose model it lacks is described by the
            runtime itself, once that answers.
    """

    def __init__(self, backends: Sequence[Backend], *, load_models: Callable[[], Iterable[HFModel]] = tuple) -> None:
        self._backends = tuple(backends)
        self._load_models = load_models
        self._states: dict[str, ModelState] = {}
        self._ready: frozenset[Backend] = frozenset()
        self._infos: dict[Backend, RuntimeInfo] = {}
        self._subscribers: dict[object, Callable[[str], None]] = {}
        self._probe_now = asyncio.Event()

    async def __aenter__(self) -> "StaticFleet":
        self._session = aiohttp.ClientSession(timeout=_PROBE_TIMEOUT)
        await self.resync()
        self._probing = asyncio.create_task(self._keep_probing(), name="probe backends")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._probing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._probing
        await self._session.close()

    def catalogue(self) -> Mapping[str, ModelState]:
        return self._states

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        self._subscribers[key] = changed
        return lambda: self._subscribers.pop(key, None) and None

    async def want(self, model_id: str) -> None:
        self._probe_now.set()

    async def release(self, model_id: str) -> None:
        raise NotUnloadable(f"{model_id} runs where this router did not start it, so it cannot be let go from here")

    async def resync(self) -> None:
        self._models = {model.id: model for model in await asyncio.to_thread(self._load_models)}
        await self._probe()

    async def _keep_probing(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_INTERVAL):
                    await self._probe_now.wait()
            self._probe_now.clear()
            await self._probe()

    async def _probe(self) -> None:
        answers = await asyncio.gather(*map(self._is_ready, self._backends))
        self._ready = frozenset(backend for backend, ready in zip(self._backends, answers, strict=True) if ready)
        self._publish()

    async def _is_ready(self, backend: Backend) -> bool:
        try:
            async with self._session.get(backend.url + PATH_READYZ) as response:
                if response.status != 200:
                    return False
            if backend not in self._infos:
                async with self._session.get(backend.url + PATH_INFO) as response:
                    self._infos[backend] = RuntimeInfo.model_validate_json(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.debug("no answer", extra={"model": backend.model_id, "url": backend.url, "error": str(error)})
            return False
        except ValidationError:
            logger.warning("not a runtime", extra={"model": backend.model_id, "url": backend.url})
            return False
        return True

    def _publish(self) -> None:
        ids = dict.fromkeys([*self._models, *(backend.model_id for backend in self._backends)])
        before, self._states = self._states, {model_id: self._state(model_id) for model_id in ids}
        for model_id in {**before, **self._states}:
            if before.get(model_id) != self._states.get(model_id):
                for changed in tuple(self._subscribers.values()):
                    changed(model_id)

    def _state(self, model_id: str) -> ModelState:
        backends = [backend for backend in self._backends if backend.model_id == model_id]
        ready = [backend for backend in backends if backend in self._ready]
        info = next((self._infos[backend] for backend in ready), None)
        state = ModelState(model=self._models.get(model_id) or _described(model_id, info))
        if ready:
            endpoints = tuple(Endpoint(backend.url, backend.url) for backend in ready)
            revision = None if info is None else info.revision
            return replace(state, phase=Phase.READY, endpoints=endpoints, resolved_revision=revision)
        if backends:
            urls = ", ".join(backend.url for backend in backends)
            return replace(state, phase=Phase.STARTING, message=f"not ready at {urls}")
        problem = Problem(Reason.UNSCHEDULABLE, f"no backend is configured: start with --backend {model_id}=URL")
        return replace(state, phase=Phase.FAILED, problem=problem)


def _described(model_id: str, info: RuntimeInfo | None) -> HFModel:
    if info is None:
        return HFModel(id=model_id, spec=HFModelSpec(model=model_id))
    return HFModel(id=model_id, spec=HFModelSpec(model=info.model or model_id, max_length=info.max_length))
