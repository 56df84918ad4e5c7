"""From open port to exit: loading, failing to load, leaving in good order, and being forced."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from hfmodel_api.names import HEADER_REFUSED
from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure
from hfmodel_runtime.engine.protocol import Engine, LoadOptions
from hfmodel_runtime.server.listening import listen
from hfmodel_runtime.server.loading import load_options
from hfmodel_runtime.server.process import ServingProcess
from hfmodel_runtime.settings import ServeSettings
from support.fake_engine import FakeEngine

GENERATE = {"text": "x", "stream": True}


class LoadFailure(Exception):
    """As the engine's loader raises it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


@dataclass
class Started:
    process: ServingProcess
    running: "asyncio.Task[Failure | None]"
    client: httpx.AsyncClient

    async def until_ready(self, reason: str = "ready") -> None:
        while (await self.client.get("/readyz")).json()["status"] != reason:
            pass


Start = Callable[..., Started]


@pytest.fixture
async def start(settings: ServeSettings) -> AsyncIterator[Start]:
    clients: list[httpx.AsyncClient] = []

    def begin(load: Callable[[LoadOptions], Engine], **changes: float) -> Started:
        listener = listen("127.0.0.1", 0)
        process = ServingProcess(replace(settings, **changes), listener, load=load)  # type: ignore[arg-type]
        port = listener.getsockname()[1]
        clients.append(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10))
        return Started(process, asyncio.create_task(process.run()), clients[-1])

    yield begin
    for client in clients:
        await client.aclose()


async def test_the_port_answers_while_the_model_loads(start: Start, engine: FakeEngine) -> None:
    may_load = threading.Event()

    def load(options: LoadOptions) -> Engine:
        assert (options.path, options.model_id) == ("/nowhere", "fake")
        may_load.wait(10)
        return engine

    started = start(load)
    assert (await started.client.get("/readyz")).json() == {"status": "loading"}
    assert (await started.client.get("/healthz")).status_code == 200
    may_load.set()
    await started.until_ready()
    started.process.stop()
    assert await started.running is None


async def test_stopping_while_loading_does_not_wait_for_it(start: Start, engine: FakeEngine) -> None:
    may_load = threading.Event()

    def load(_: LoadOptions) -> Engine:
        may_load.wait(10)
        return engine

    started = start(load)
    await started.until_ready("loading")
    started.process.stop()
    assert await started.running is None
    may_load.set()


FAILURES = {
    "a reason of the loader's": (
        LoadFailure(Failure(reason=Reason.WEIGHTS_INVALID, message="model.safetensors is cut short")),
        Failure(reason=Reason.WEIGHTS_INVALID, message="model.safetensors is cut short"),
    ),
    "out of memory": (
        MemoryError(),
        Failure(reason=Reason.OUT_OF_MEMORY, message="the model does not fit into memory", retryable=True),
    ),
    "unforeseen": (
        KeyError("hidden_size"),
        Failure(reason=Reason.CRASH_LOOP, message="loading failed: KeyError: 'hidden_size'", retryable=True),
    ),
}


@pytest.mark.parametrize(("error", "failure"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_model_that_cannot_be_loaded_ends_the_process_with_the_reason(
    start: Start, error: Exception, failure: Failure
) -> None:
    def load(_: LoadOptions) -> Engine:
        raise error

    assert await start(load).running == failure


async def test_told_to_stop_it_is_not_ready_and_serves_on_while_the_news_spreads(
    start: Start, engine: FakeEngine
) -> None:
    started = start(lambda _: engine, drain_delay=1000.0)
    await started.until_ready()
    started.process.stop()
    await started.until_ready("draining")
    late = await started.client.post("/generate", json={"text": "late: "})
    assert late.json()["generated_text"] == ["late: Hello, world"]
    started.process.interrupt()
    assert await started.running is None


async def test_then_it_refuses_and_finishes_what_runs(start: Start, engine: FakeEngine) -> None:
    engine.pause()
    engine.step()
    started = start(lambda _: engine)
    await started.until_ready()
    async with started.client.stream("POST", "/generate", json=GENERATE) as response:
        lines = response.aiter_lines()
        await anext(lines)
        started.process.stop()
        await started.until_ready("draining")
        refused = await started.client.post("/generate", json={"text": "late"})
        assert (refused.status_code, refused.headers[HEADER_REFUSED]) == (503, "draining")
        engine.resume()
        rest = [line async for line in lines]
    assert "data: [DONE]" in rest
    assert await started.running is None


async def test_what_outlasts_the_drain_timeout_is_told_so(start: Start, engine: FakeEngine) -> None:
    engine.pause()
    engine.step()
    started = start(lambda _: engine, drain_timeout=0.05)
    await started.until_ready()
    whole = asyncio.create_task(started.client.post("/v1/completions", json={"model": "fake", "prompt": "x"}))
    async with started.client.stream("POST", "/generate", json=GENERATE) as response:
        lines = response.aiter_lines()
        await asyncio.to_thread(engine.wait_for_sequences, 2)
        engine.step()
        await anext(lines)
        started.process.stop()
        rest = [line for line in [line async for line in lines] if line]
    assert json.loads(rest[-1].removeprefix("data: "))["code"] == "engine_failed"
    assert (await whole).status_code == 500
    assert await started.running is None


async def test_told_to_stop_twice_it_still_finishes_what_runs(start: Start, engine: FakeEngine) -> None:
    engine.pause()
    started = start(lambda _: engine, drain_timeout=1000.0)
    await started.until_ready()
    request = asyncio.create_task(started.client.post("/generate", json={"text": "x: "}))
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    started.process.stop()
    await started.until_ready("draining")
    started.process.stop()
    engine.resume()
    assert (await request).json()["generated_text"] == ["x: Hello, world"]
    assert await started.running is None


async def test_a_second_interrupt_ends_it_at_once(start: Start, engine: FakeEngine) -> None:
    engine.pause()
    started = start(lambda _: engine, drain_timeout=1000.0)
    await started.until_ready()
    request = asyncio.create_task(started.client.post("/generate", json={"text": "x"}))
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    started.process.stop()
    started.process.interrupt()
    assert await started.running is None
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)


async def test_a_retired_process_that_is_told_to_stop_takes_nothing_on_again(start: Start, engine: FakeEngine) -> None:
    started = start(lambda _: engine, drain_delay=1000.0)
    await started.until_ready()
    assert (await started.client.post("/retire")).status_code == 200
    started.process.stop()
    assert await started.running is None


def test_listening_twice_on_one_port_is_an_error() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_settings_become_load_options(settings: ServeSettings) -> None:
    options = load_options(replace(settings, model_dir=Path("/m"), max_length=7, allow_pickle=True))
    assert (options.path, options.max_length, options.allow_pickle) == ("/m", 7, True)
