"""Two servers that stand where the old one stood, on the same models.yaml: `hfmodel up`, and the router's app alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from anyio.from_thread import start_blocking_portal

from hfmodel_api.models_yaml import load_models_yaml
from hfmodel_api.spec import HFModel
from hfmodel_runtime.engine.protocol import EngineLimits
from hfmodel_runtime.lifecycle import Lifecycle
from hfmodel_runtime.server.app import create_app
from hfmodel_runtime.server.listening import HttpServer, connection_limits, listen
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.settings import ServeSettings
from support.fake_engine import FakeEngine
from support.fake_fleet import FakeFleet
from support.hfmodel_up import hfmodel_up
from support.running_router import running_router
from support.tiny_models import make_tiny_model

TOKENS = 96  # that the tiny models take
GATED_REPO = "meta-llama/Llama-3.2-1B"
# id -> architecture and entry, as the old server's registry had them. Two of them have ids that sort before the first.
_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2-small": ("gpt2", {"type": "text", "size": "124M", "max_length": 90, "suggested_temperature": 0.8}),
    "dialogpt-small": ("gpt2", {"type": "conversational", "size": "117M", "max_length": 8192}),
    "codegen-350m": ("codegen", {"type": "code", "size": "350M", "max_length": 2048, "suggested_temperature": 0.2}),
    "flan-t5-small": ("t5", {"type": "instruction", "size": "80M", "max_length": 512, "suggested_temperature": 0.3}),
    "llama-instruct": ("llama", {"type": "instruction", "size": "1B", "max_length": 2048}),
    "another-text": ("llama", {"type": "text", "size": "1M", "max_length": 2048}),
}


@dataclass(frozen=True, slots=True)
class Stand:
    """A server in the old one's place. `http` is a client with its address."""

    http: httpx.Client
    is_real: bool  # with real models

    def most_tokens(self, model_id: str) -> int:
        """That the model takes, the prompt's included."""
        limit: int = _MODELS[model_id][1]["max_length"]
        return min(limit, TOKENS) if self.is_real else limit


def make_weights(folder: Path) -> None:
    """The tiny models that `write_models_yaml` names, for a server in the same folder."""
    for architecture in {architecture for architecture, _ in _MODELS.values()}:
        make_tiny_model(architecture, folder / architecture)


def write_models_yaml(folder: Path) -> Path:
    """The old server's file: tiny models in folders beside it, and one gated repo of the Hub."""
    models: dict[str, Any] = {}
    for model_id, (architecture, entry) in _MODELS.items():
        models[model_id] = {"name": f"./{architecture}", "description": f"A {architecture}", **entry}
    models["llama-3.2-1b"] = {
        "name": GATED_REPO,
        "type": "text",
        "size": "1B",
        "description": "Gated",
        "max_length": 2048,
        "gated": True,
    }
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"models": models, "settings": {"max_concurrent_models": 8}}, sort_keys=False))
    return path


@contextmanager
def up_in_its_place(folder: Path, env: Mapping[str, str]) -> Iterator[Stand]:
    """`hfmodel up models.yaml`, a process, with real models."""
    make_weights(folder)
    with (
        hfmodel_up(write_models_yaml(folder), "--no-prefetch", work=folder, env=env) as running,
        httpx.Client(base_url=running.url, timeout=90, trust_env=False) as http,
    ):
        yield Stand(http, is_real=True)


@contextmanager
def router_in_its_place(folder: Path, **settings: Any) -> Iterator[Stand]:
    """The router's app, in front of real runtimes with engines that compute nothing."""
    read = load_models_yaml(write_models_yaml(folder))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_router(read.models, settings)) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as http,
    ):
        yield Stand(http, is_real=False)


@asynccontextmanager
async def _router(models: tuple[HFModel, ...], settings: Mapping[str, Any]) -> AsyncIterator[str]:
    fleet = FakeFleet(*models)
    async with AsyncExitStack() as stack:
        urls = {model.id: await stack.enter_async_context(_runtime(model)) for model in models}
        fleet.on_want = lambda model_id: fleet.serve(model_id, urls[model_id])
        fleet.on_release = fleet.serve
        router = await stack.enter_async_context(running_router(fleet, **settings))
        yield router.url


@asynccontextmanager
async def _runtime(model: HFModel) -> AsyncIterator[str]:
    spec = model.spec
    settings = ServeSettings(
        model_dir=Path("/nowhere"),
        model_id=model.id,
        model=spec.model,
        type=spec.type,
        suggested_temperature=spec.suggested_temperature,
    )
    engine_limits = EngineLimits(max_length=spec.max_length or TOKENS, vocab_size=0x110000)
    engine = FakeEngine(limits=engine_limits, seq2seq=spec.model == "t5")
    served = ServedModel(settings, Lifecycle(), loop=asyncio.get_running_loop())
    served.loaded(engine)
    started = asyncio.Event()
    limits = connection_limits(settings, refused=lambda _: None)
    server = HttpServer(create_app(served), limits=limits, on_started=started.set)
    listener = listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        await asyncio.to_thread(partial(engine.close))
