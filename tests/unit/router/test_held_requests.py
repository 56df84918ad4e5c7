"""Requests to models that sleep, seen by clients: held, woken once, answered; or ended early with the reason."""

import asyncio
import json

import aiohttp
import pytest

from hfmodel_api.status import Phase, Reason
from support.fake_fleet import FakeFleet, model
from support.polling import until
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import (
    Gate,
    Received,
    Script,
    die_before_headers,
    event,
    refuse,
    respond,
    scripted_runtime,
    stream,
)

GENERATE = "/models/smollm2/generate"
COMPLETIONS = "/v1/completions"
BODY = {"text": "hello"}
STREAM = {"model": "smollm2", "prompt": "x", "stream": True}
ANSWER = {"generated_text": ["hello world"]}


async def _ask(router: RunningRouter) -> object:
    async with router.http.post(GENERATE, json=BODY) as response:
        assert response.status == 200, await response.text()
        assert float(response.headers["x-hfmodel-held-seconds"]) >= 0
        return await response.json()


async def test_200_requests_to_a_sleeping_model_are_answered_from_one_wake(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    async with scripted_runtime(respond(ANSWER)) as pod:
        asking = [asyncio.create_task(_ask(router)) for _ in range(200)]
        await until(lambda: b'hfmodel_router_held{model="smollm2"} 200.0' in router.app.metrics.exposition())
        fleet.serve("smollm2", pod.url)
        assert await asyncio.gather(*asking) == [ANSWER] * 200
    assert fleet.wants == ["smollm2"]
    assert len(pod.received) == 200


async def test_more_held_requests_than_a_pod_queues_are_answered_one_after_another(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    full = respond({"detail": "queue full"}, 429, retry_after=0)
    async with scripted_runtime(full, full, full, respond(ANSWER)) as pod:
        asking = [asyncio.create_task(_ask(router)) for _ in range(3)]
        await fleet.wanted.wait()
        fleet.serve("smollm2", pod.url)
        assert await asyncio.gather(*asking) == [ANSWER] * 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (GENERATE, b'{"text": "x", "temperature": 9}'),
        (GENERATE, b"not json"),
        (GENERATE, b'{"text": "\xff"}'),
        (GENERATE, b"[" * 100_000),
        (COMPLETIONS, b'{"model": "smollm2"}'),
        (COMPLETIONS, b'{"prompt": "x"}'),
        (COMPLETIONS, b'{"model": 7, "prompt": "x"}'),
        (COMPLETIONS, b""),
    ],
    ids=["out of range", "not JSON", "not UTF-8", "deeply nested", "no prompt", "no model", "model not text", "empty"],
)
async def test_a_bad_request_does_not_wake_a_model(
    fleet: FakeFleet, router: RunningRouter, path: str, body: bytes
) -> None:
    async with router.http.post(path, data=body) as response:
        assert response.status == 400, await response.text()
    assert fleet.wants == []


async def test_the_deadline_is_a_504_that_says_when_to_come_back(fleet: FakeFleet) -> None:
    fleet.change("smollm2", start_seconds=42.0, phase=Phase.STARTING, message="loading weights")
    async with running_router(fleet, hold_timeout=0.02) as router, router.http.post(GENERATE, json=BODY) as response:
        assert response.status == 504
        assert response.headers["retry-after"] == "42"
        body = await response.json()
    assert body["code"] == "hold_timeout"
    assert "Starting (loading weights)" in body["detail"]


@pytest.mark.parametrize(("asked", "status"), [("0.01", 504), ("0", 504), ("soon", 400), ("-1", 400), ("nan", 400)])
async def test_a_client_can_ask_to_be_held_for_less(
    fleet: FakeFleet, router: RunningRouter, asked: str, status: int
) -> None:
    async with router.http.post(GENERATE, json=BODY, headers={"x-hfmodel-hold-timeout": asked}) as response:
        assert response.status == status


async def test_a_client_cannot_ask_to_be_held_for_longer(fleet: FakeFleet) -> None:
    headers = {"x-hfmodel-hold-timeout": "inf"}
    async with (
        running_router(fleet, hold_timeout=0.02) as router,
        router.http.post(GENERATE, json=BODY, headers=headers) as response,
    ):
        assert response.status == 504


async def test_beyond_the_bound_the_answer_is_429(fleet: FakeFleet) -> None:
    async with running_router(fleet, max_held_per_model=1) as router:
        held = asyncio.create_task(_ask(router))
        await fleet.wanted.wait()
        async with router.http.post(GENERATE, json=BODY) as response:
            assert response.status == 429
            assert response.headers["retry-after"] == "10"
            assert "x-hfmodel-held-seconds" not in response.headers
        held.cancel()


async def test_a_model_that_cannot_start_ends_its_requests_with_the_reason(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    fleet.on_want = lambda model_id: fleet.fail(model_id, Reason.GATED_NO_TOKEN, "set HF_TOKEN")
    async with router.http.post(COMPLETIONS, json={"model": "smollm2", "prompt": "x"}) as response:
        assert response.status == 503
        error = (await response.json())["error"]
    assert (error["code"], error["type"]) == ("GatedNoToken", "server_error")
    assert "set HF_TOKEN" in error["message"]


async def test_a_model_removed_meanwhile_is_a_404(fleet: FakeFleet, router: RunningRouter) -> None:
    fleet.on_want = fleet.remove
    async with router.http.post(GENERATE, json=BODY) as response:
        assert response.status == 404


async def test_a_client_that_leaves_frees_its_place(fleet: FakeFleet, router: RunningRouter) -> None:
    asking = asyncio.create_task(_ask(router))
    await fleet.wanted.wait()
    asking.cancel()
    await until(lambda: b'hfmodel_router_held{model="smollm2"} 0.0' in router.app.metrics.exposition())


@pytest.mark.parametrize("failure", [refuse("loading"), die_before_headers], ids=["refused", "died"])
async def test_a_held_request_that_the_first_pod_does_not_answer_is_held_again(
    fleet: FakeFleet, router: RunningRouter, failure: Script
) -> None:
    async with scripted_runtime(failure, respond(ANSWER)) as pod:
        fleet.on_want = lambda model_id: fleet.serve(model_id, pod.url)
        assert await _ask(router) == ANSWER
    assert len(pod.received) == 2


async def test_a_retired_pod_sends_its_request_to_the_next_one(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(refuse()) as retired, scripted_runtime(respond(ANSWER)) as fresh:
        fleet.serve("smollm2", retired.url)
        fleet.on_want = lambda model_id: fleet.serve(model_id, fresh.url)
        assert await _ask(router) == ANSWER
    assert fleet.wants == ["smollm2"]


async def test_a_stream_that_waits_long_is_kept_alive_and_then_answered(fleet: FakeFleet) -> None:
    fleet.change("smollm2", phase=Phase.STARTING, start_seconds=3.0)
    async with (
        running_router(fleet, heartbeat_interval=0.02) as router,
        scripted_runtime(stream("one", "[DONE]")) as pod,
        router.http.post(COMPLETIONS, json=STREAM) as response,
    ):
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        first = await response.content.readuntil(b"\n\n")
        assert first == b": waiting for smollm2: Starting; a start takes about 3.0 s\n\n"
        fleet.serve("smollm2", pod.url)
        rest = await response.text()
    assert rest.endswith((event("one") + event("[DONE]")).decode())
    assert all(line.startswith(": ") for line in rest.split("\n\n")[:-3])


async def test_a_quick_wake_keeps_the_pods_own_status(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond({"error": {"message": "too long"}}, 400)) as pod:
        fleet.on_want = lambda model_id: fleet.serve(model_id, pod.url)
        async with router.http.post(COMPLETIONS, json=STREAM) as response:
            assert response.status == 400


@pytest.mark.parametrize("path", [COMPLETIONS, "/models/smollm2/chat"], ids=["openai", "native"])
async def test_an_error_after_a_heartbeat_is_an_event(fleet: FakeFleet, path: str) -> None:
    body = STREAM if path == COMPLETIONS else {"message": "x", "stream": True}
    async with (
        running_router(fleet, heartbeat_interval=0.02) as router,
        router.http.post(path, json=body) as response,
    ):
        await response.content.readuntil(b"\n\n")
        fleet.fail("smollm2", Reason.OUT_OF_MEMORY, "too big")
        *_, error, done, end = (await response.text()).split("\n\n")
    shown = json.loads(error.removeprefix("data: "))
    assert (done, end) == ("data: [DONE]", "")
    if path == COMPLETIONS:
        assert shown["error"]["code"] == "OutOfMemory"
    else:
        assert (shown["code"], shown["reason"]) == ("model_failed", "OutOfMemory")


@pytest.mark.parametrize(
    "answer",
    [{"error": {"message": "prompt too long", "code": "invalid_request"}}, None],
    ids=["an error of the API", "no JSON"],
)
async def test_a_pods_error_after_a_heartbeat_is_an_event(fleet: FakeFleet, answer: object) -> None:
    async def broken(request: Received) -> None:
        await request.write(b"HTTP/1.1 502 X\r\ncontent-length: 4\r\n\r\noops")

    script = respond(answer, 400) if answer else broken
    async with (
        running_router(fleet, heartbeat_interval=0.02) as router,
        scripted_runtime(script) as pod,
        router.http.post(COMPLETIONS, json=STREAM) as response,
    ):
        await response.content.readuntil(b"\n\n")
        fleet.serve("smollm2", pod.url)
        *_, error, done, _ = (await response.text()).split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == (
        "invalid_request" if answer else "engine_failed"
    )
    assert done == "data: [DONE]"


async def test_the_openai_client_waits_through_heartbeats(fleet: FakeFleet) -> None:
    openai = pytest.importorskip("openai")
    piece = {"id": "c", "object": "text_completion", "created": 0, "model": "smollm2"}
    piece["choices"] = [{"index": 0, "text": "Paris", "finish_reason": None}]
    async with (
        running_router(fleet, heartbeat_interval=0.01) as router,
        scripted_runtime(stream(piece, "[DONE]")) as pod,
        openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0) as client,
    ):
        answer = await client.completions.create(model="smollm2", prompt="x", stream=True)
        fleet.serve("smollm2", pod.url)
        texts = [part.choices[0].text async for part in answer]
    assert texts == ["Paris"]


async def test_other_models_are_answered_while_requests_wait(fleet: FakeFleet, router: RunningRouter) -> None:
    fleet.add(model("other"))
    held = asyncio.create_task(_ask(router))
    await fleet.wanted.wait()
    async with scripted_runtime(respond(ANSWER)) as pod:
        fleet.serve("other", pod.url)
        async with router.http.post("/models/other/generate", json=BODY) as response:
            assert response.status == 200
    held.cancel()


async def test_a_pod_set_aside_is_tried_again_after_a_while(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(refuse("loading"), refuse("loading"), respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        assert await _ask(router) == ANSWER
    assert len(pod.received) == 3


async def test_a_client_that_leaves_while_its_second_pod_works_stops_that_one(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    gate = Gate(then=respond(ANSWER))
    async with scripted_runtime(refuse()) as first, scripted_runtime(gate) as second:
        fleet.serve("smollm2", first.url)
        fleet.on_want = lambda model_id: fleet.serve(model_id, second.url)
        asking = asyncio.create_task(_ask(router))
        await gate.reached.wait()
        asking.cancel()
        await gate.left.wait()


async def test_a_plain_client_on_a_slow_wake_gets_an_ordinary_answer(fleet: FakeFleet) -> None:
    async with running_router(fleet, heartbeat_interval=0.01) as router, scripted_runtime(respond(ANSWER)) as pod:
        asking = asyncio.create_task(_ask(router))
        await fleet.wanted.wait()
        await asyncio.sleep(0.03)  # several heartbeats' time: none may go to a client that asked for JSON
        fleet.serve("smollm2", pod.url)
        assert await asking == ANSWER


async def test_a_broken_connection_while_sending_the_body_is_no_request(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    async def body() -> object:
        yield b'{"text": '
        raise ConnectionError

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await router.http.post(GENERATE, data=body())
    assert fleet.wants == []
