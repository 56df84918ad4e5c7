"""Alive, ready, busy, described, retired: what a serving process says about itself."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
import torch

from hfmodel_api.names import HEADER_REFUSED
from hfmodel_api.wire import RETIREMENT_SECONDS, Activity, RuntimeInfo
from hfmodel_runtime.lifecycle import Event
from hfmodel_runtime.server.model import ServedModel
from support.fake_clock import FakeClock
from support.fake_engine import FakeEngine

GENERATE = {"text": "hi", "max_new_tokens": 3}


async def test_a_loading_process_is_alive_and_not_ready(loading_client: httpx.AsyncClient) -> None:
    assert (await loading_client.get("/healthz")).status_code == 200
    ready = await loading_client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "loading"})
    info = await loading_client.get("/info")
    assert (info.status_code, info.headers[HEADER_REFUSED]) == (503, "loading")
    activity = Activity.model_validate_json((await loading_client.get("/activity")).content)
    assert not activity.busy


async def test_a_loaded_process_is_ready_and_describes_itself(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    info = await client.get("/info")
    assert RuntimeInfo.model_validate_json(info.content) == engine.info


async def test_the_memory_of_its_gpus_is_told(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [80 * 2**30, 40 * 2**30]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=sizes[index]))
    engine.info = engine.info.model_copy(update={"device": "cuda", "cuda_devices": ("A100", "A40")})
    assert (await client.get("/info")).json()["cuda_memory_bytes"] == sizes


async def test_without_a_gpu_cuda_is_left_alone(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", None)
    assert (await client.get("/info")).json()["cuda_memory_bytes"] == []


@pytest.mark.parametrize(
    ("events", "reason"),
    [((Event.LEAVE,), "draining"), ((Event.LEAVE, Event.DRAIN), "draining")],
    ids=["leaving", "draining"],
)
async def test_a_stopping_process_is_not_ready(
    client: httpx.AsyncClient, model: ServedModel, events: tuple[Event, ...], reason: str
) -> None:
    for event in events:
        model.lifecycle.apply(event)
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": reason})
    assert (await client.get("/healthz")).status_code == 200


async def test_a_leaving_process_still_serves_and_a_draining_one_refuses(
    client: httpx.AsyncClient, model: ServedModel
) -> None:
    model.lifecycle.apply(Event.LEAVE)
    assert (await client.post("/generate", json=GENERATE)).status_code == 200
    model.lifecycle.apply(Event.DRAIN)
    refused = await client.post("/generate", json=GENERATE)
    assert (refused.status_code, refused.headers[HEADER_REFUSED]) == (503, "draining")


async def test_a_dead_engine_is_neither_alive_nor_ready(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.die()
    assert (await client.get("/healthz")).status_code == 503
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "engine-dead"})
    refused = await client.post("/generate", json=GENERATE)
    assert (refused.status_code, refused.headers[HEADER_REFUSED]) == (503, "engine-dead")


async def test_activity_follows_a_request_from_queue_to_end(
    client: httpx.AsyncClient, engine: FakeEngine, clock: FakeClock
) -> None:
    async def activity() -> Activity:
        return Activity.model_validate_json((await client.get("/activity")).content)

    clock.now += 30
    assert await activity() == Activity(running=0, queued=0, requests_total=0, idle_seconds=30)
    engine.pause()
    answer = asyncio.create_task(client.post("/generate", json=GENERATE))
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    assert await activity() == Activity(running=1, queued=0, requests_total=1, idle_seconds=0)
    clock.now += 5
    engine.resume()
    await answer
    clock.now += 2
    assert await activity() == Activity(running=0, queued=0, requests_total=1, idle_seconds=2)


async def test_retire_refuses_work_until_it_ends_by_itself(client: httpx.AsyncClient, clock: FakeClock) -> None:
    retired = await client.post("/retire", json={"idle_for_seconds": 0})
    assert (retired.status_code, retired.json()) == (200, {"retired": True})
    assert (await client.get("/readyz")).json() == {"status": "retired"}
    assert (await client.get("/activity")).json()["retired"] is True
    refused = await client.post("/generate", json=GENERATE)
    assert (refused.status_code, refused.headers[HEADER_REFUSED]) == (503, "retired")
    clock.now += RETIREMENT_SECONDS
    assert (await client.post("/generate", json=GENERATE)).status_code == 200


async def test_retire_says_how_busy_it_is_instead(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.pause()
    answer = asyncio.create_task(client.post("/generate", json=GENERATE))
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    conflict = await client.post("/retire", json={"idle_for_seconds": 0})
    assert conflict.status_code == 409
    assert Activity.model_validate_json(conflict.content).running == 1
    engine.resume()
    assert (await answer).status_code == 200


async def test_retire_without_a_body_asks_for_no_idle_time(client: httpx.AsyncClient) -> None:
    assert (await client.post("/retire")).status_code == 200


@pytest.mark.parametrize("body", [b"{", b'{"idle_for_seconds": -1}', b'{"idle_for_seconds": "soon"}', b"[]"])
async def test_a_bad_retirement_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post("/retire", content=body)).status_code == 400
    assert (await client.get("/readyz")).status_code == 200


async def test_metrics_count_tokens_and_ends(client: httpx.AsyncClient) -> None:
    await client.post("/generate", json={"text": "hi", "max_new_tokens": 2, "num_return_sequences": 2})
    await client.post("/generate", json={"text": "hi", "max_new_tokens": 9})
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    lines = set(metrics.text.splitlines())
    expected = {
        "hfmodel_runtime_requests_running 0.0",
        "hfmodel_runtime_requests_waiting 0.0",
        "hfmodel_runtime_prompt_tokens_total 4.0",
        # Twice two words; then three and the end token.
        "hfmodel_runtime_generation_tokens_total 8.0",
        'hfmodel_runtime_request_success_total{finish_reason="length"} 2.0',
        'hfmodel_runtime_request_success_total{finish_reason="stop"} 1.0',
        "hfmodel_runtime_time_to_first_token_seconds_count 3.0",
        "hfmodel_runtime_inter_token_latency_seconds_count 5.0",
        "hfmodel_runtime_e2e_request_latency_seconds_count 2.0",
        "hfmodel_runtime_load_seconds 0.5",
    }
    assert expected <= lines, expected - lines


async def test_health_answers_while_prompts_are_tokenized_and_tokens_computed(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.pause()
    answer = asyncio.create_task(client.post("/generate", json=GENERATE))
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    for path in ("/healthz", "/readyz", "/info", "/metrics", "/activity"):
        assert (await client.get(path)).status_code == 200
    engine.resume()
    await answer
