"""A served fake model: its application in this process, and on a real port where a connection matters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hfmodel_runtime.lifecycle import Lifecycle
from hfmodel_runtime.server.app import create_app
from hfmodel_runtime.server.listening import HttpServer, connection_limits, listen
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.settings import ServeSettings
from support.fake_clock import FakeClock
from support.fake_engine import FakeEngine


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings() -> ServeSettings:
    return ServeSettings(
        model_dir=Path("/nowhere"), model_id="fake", model="org/fake", type="conversational", max_body_bytes=10_000
    )


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    fake = FakeEngine()
    yield fake
    fake.close()


@pytest.fixture
async def loading_model(settings: ServeSettings, clock: FakeClock) -> ServedModel:
    return ServedModel(settings, Lifecycle(clock), loop=asyncio.get_running_loop())


@pytest.fixture
async def model(loading_model: ServedModel, engine: FakeEngine) -> ServedModel:
    loading_model.loaded(engine)
    return loading_model


def _client(model: ServedModel) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(model))
    return httpx.AsyncClient(transport=transport, base_url="http://runtime", timeout=10)


@pytest.fixture
async def loading_client(loading_model: ServedModel) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(loading_model) as client:
        yield client


@pytest.fixture
async def client(model: ServedModel) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(model) as client:
        yield client


@pytest.fixture
async def live_client(model: ServedModel) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same application on a real port."""
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    limits = connection_limits(model.settings, refused=lambda code: model.metrics.refused.labels(code).inc())
    server = HttpServer(create_app(model), limits=limits, on_started=started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=10) as client:
        yield client
    server.should_exit = True
    await serving


@pytest.fixture
async def until_idle(model: ServedModel) -> Callable[[], "asyncio.Task[bool]"]:
    """A task that ends once no request is in flight."""

    def wait() -> "asyncio.Task[bool]":
        idle = asyncio.Event()
        model.lifecycle.when_idle(idle.set)
        return asyncio.create_task(idle.wait())

    return wait
