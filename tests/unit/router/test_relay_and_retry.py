"""A request to a model that answers: what reaches the pod, what reaches the client, and what is sent again."""

import asyncio
import contextlib
import io
import json
import socket

import aiohttp
import pytest

from support.fake_fleet import FakeFleet
from support.polling import until
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import (
    END,
    EVENTS_HEAD,
    Gate,
    Received,
    Script,
    chunk,
    die_before_body,
    die_before_headers,
    die_in_body,
    event,
    head,
    refuse,
    respond,
    scripted_runtime,
    stream,
)

GENERATE = "/models/smollm2/generate"
BODY = {"text": "hello"}
ANSWER = {"generated_text": ["hello world"]}
CHUNKED = head(200, content_type="application/json", transfer_encoding="chunked")


async def _generate(router: RunningRouter, **options: object) -> object:
    async with router.http.post(GENERATE, json={**BODY, **options}) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_pods_answer_passes_through_unchanged(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond(ANSWER, 418, x_engine="e", server="hidden")) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json=BODY, headers={"x-request-id": "mine-1"}) as response:
            assert await response.json() == ANSWER
        assert response.status == 418
        assert response.headers["x-engine"] == "e"
        assert response.headers["x-request-id"] == "mine-1"
        assert "server" not in response.headers
        assert "x-hfmodel-held-seconds" not in response.headers
        assert "x-hfmodel-retries" not in response.headers
    [received] = pod.received
    assert (received.method, received.path, received.json()) == ("POST", "/generate", BODY)
    assert received.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    ("path", "body", "upstream"),
    [
        ("/models/smollm2/generate", {"text": "x"}, "/generate"),
        ("/models/smollm2/chat", {"message": "x"}, "/chat"),
        ("/generate", {"text": "x"}, "/generate"),
        ("/v1/completions", {"model": "smollm2", "prompt": "x"}, "/v1/completions"),
        ("/v1/chat/completions", {"model": "acme/smollm2", "messages": []}, "/v1/chat/completions"),
    ],
)
async def test_calls_go_to_the_pods_path(
    fleet: FakeFleet, router: RunningRouter, path: str, body: object, upstream: str
) -> None:
    async with scripted_runtime(respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(path, json=body) as response:
            assert response.status == 200
    assert [received.path for received in pod.received] == [upstream]


async def test_keys_cookies_and_connection_headers_never_reach_a_pod(fleet: FakeFleet) -> None:
    async with running_router(fleet, api_keys=("s3cret",)) as router, scripted_runtime(respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        headers = {"authorization": "Bearer s3cret", "x-api-key": "s3cret", "cookie": "a=b", "te": "trailers"}
        async with router.http.post(GENERATE, json=BODY, headers=headers) as response:
            assert response.status == 200
    [received] = pod.received
    router_own = {"x-request-id", "x-hfmodel-tokens"}
    assert set(received.headers) == {"host", "content-type", "content-length", "accept"} | router_own
    assert "s3cret" not in str(received.headers)


async def test_events_arrive_one_by_one(fleet: FakeFleet, router: RunningRouter) -> None:
    second = Gate(before=EVENTS_HEAD + chunk(event("one")), then=lambda r: r.write(chunk(event("two")) + END))
    async with scripted_runtime(second) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json=BODY | {"stream": True}) as response:
            assert await response.content.readuntil(b"\n\n") == event("one")
            second.opened.set()
            assert await response.content.read() == event("two")


async def test_large_answers_and_bodies_pass(fleet: FakeFleet, router: RunningRouter) -> None:
    answer, body = {"generated_text": ["x" * 3_000_000]}, json.dumps({"text": "y" * 3_000_000}).encode()
    async with scripted_runtime(respond(answer)) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, data=io.BytesIO(body)) as response:
            assert await response.json() == answer
        assert pod.received[0].body == body


RETRIED: dict[str, Script] = {
    "refused because it retires": refuse(),
    "closed before the headers": die_before_headers,
    "headers and no body": die_before_body,
    "cut in a short answer of known length": die_in_body(
        head_=head(200, content_type="application/json", content_length=100) + b'{"genera'
    ),
}

KILLED = {name: script for name, script in RETRIED.items() if "refused" not in name}


@pytest.mark.parametrize("failure", RETRIED.values(), ids=RETRIED.keys())
async def test_a_request_that_one_pod_did_not_answer_goes_to_another(
    fleet: FakeFleet, router: RunningRouter, failure: Script
) -> None:
    async with scripted_runtime(failure) as broken, scripted_runtime(respond(ANSWER)) as sound:
        # Whichever is asked first, the answer is the sound one's.
        fleet.serve("smollm2", broken.url, sound.url)
        answers = [await _generate(router) for _ in range(2)]
    assert answers == [ANSWER, ANSWER]
    assert len(broken.received) >= 1
    assert [received.json() for received in sound.received] == [BODY, BODY]


async def test_an_answer_says_how_often_its_request_was_sent_again(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(refuse(), respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json=BODY) as response:
            assert await response.json() == ANSWER
    assert response.headers["x-hfmodel-retries"] == "1"


async def test_a_death_on_a_kept_connection_and_on_the_new_one_is_one_death(fleet: FakeFleet) -> None:
    script = (respond(ANSWER), die_before_headers, die_before_headers, respond(ANSWER))
    async with running_router(fleet, retry_limit=2, set_aside=0.01) as router, scripted_runtime(*script) as pod:
        fleet.serve("smollm2", pod.url)
        assert [await _generate(router) for _ in range(2)] == [ANSWER, ANSWER]
    assert len(pod.received) == 4


async def test_a_pod_that_cannot_be_reached_is_passed_over(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond(ANSWER)) as pod:
        async with scripted_runtime(respond(ANSWER)) as gone:
            pass
        fleet.serve("smollm2", gone.url, pod.url)
        for _ in range(4):
            assert await _generate(router) == ANSWER


async def test_a_pod_that_does_not_even_answer_a_connection_is_passed_over(fleet: FakeFleet) -> None:
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # nobody accepts: the queue is full, and a further SYN is dropped
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        async with running_router(fleet, connect_timeout=0.05) as router, scripted_runtime(respond(ANSWER)) as pod:
            fleet.serve("smollm2", f"http://127.0.0.1:{silent.getsockname()[1]}", pod.url)
            assert [await _generate(router) for _ in range(2)] == [ANSWER, ANSWER]


@pytest.mark.parametrize("failure", RETRIED.values(), ids=RETRIED.keys())
async def test_without_another_pod_the_request_waits_for_one(
    fleet: FakeFleet, router: RunningRouter, failure: Script
) -> None:
    async with scripted_runtime(failure) as broken, scripted_runtime(respond(ANSWER)) as replacement:
        fleet.on_want = lambda _: fleet.serve("smollm2", replacement.url)
        fleet.serve("smollm2", broken.url)
        assert await _generate(router) == ANSWER


async def test_the_time_that_a_pod_worked_before_it_died_is_no_waiting(fleet: FakeFleet) -> None:
    async def work_and_die(request: Received) -> None:
        await asyncio.sleep(0.3)
        await die_before_headers(request)

    async with (
        running_router(fleet, hold_timeout=0.25) as router,
        scripted_runtime(work_and_die) as first,
        scripted_runtime(respond(ANSWER)) as second,
    ):
        fleet.serve("smollm2", first.url)
        answer = asyncio.create_task(_generate(router))
        await until(lambda: bool(fleet.wants))
        fleet.serve("smollm2", second.url)
        assert await answer == ANSWER


async def test_an_idle_connection_that_a_pod_closed_costs_nothing(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond(ANSWER), die_before_headers, respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        assert [await _generate(router) for _ in range(2)] == [ANSWER, ANSWER]
    assert len(pod.received) == 3
    assert fleet.wants == []


@pytest.mark.parametrize("killed", KILLED.values(), ids=KILLED.keys())
async def test_a_request_that_kills_pods_is_given_up(fleet: FakeFleet, router: RunningRouter, killed: Script) -> None:
    async with scripted_runtime(killed) as first, scripted_runtime(killed) as second:
        fleet.serve("smollm2", first.url, second.url)
        async with router.http.post(GENERATE, json=BODY) as response:
            assert response.status == 500
            assert (await response.json())["code"] == "engine_failed"
    assert len(first.received) + len(second.received) == 3


async def test_a_request_that_kills_pods_is_given_up_on_kept_connections_too(fleet: FakeFleet) -> None:
    async with contextlib.AsyncExitStack() as stack:
        router = await stack.enter_async_context(running_router(fleet, set_aside=60))
        pods = [
            await stack.enter_async_context(scripted_runtime(respond(ANSWER), die_before_headers)) for _ in range(4)
        ]
        for pod in pods:  # each has a connection that is kept
            fleet.serve("smollm2", pod.url)
            assert await _generate(router) == ANSWER
        fleet.serve("smollm2", *(pod.url for pod in pods))
        async with router.http.post(GENERATE, json=BODY) as response:
            assert (response.status, (await response.json())["code"]) == (500, "engine_failed")
    # Three of the four, each told by its kept connection and by a new one.
    assert sorted(len(pod.received) for pod in pods) == [1, 3, 3, 3]


async def test_a_plain_error_of_a_pod_is_the_answer(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond({"detail": "queue full"}, 429, retry_after=7)) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json=BODY) as response:
            assert (response.status, response.headers["retry-after"]) == (429, "7")
    assert len(pod.received) == 1


async def test_a_stream_that_breaks_off_ends_with_an_error_event(fleet: FakeFleet, router: RunningRouter) -> None:
    half = event({"text": "two"})[:9]
    async with scripted_runtime(die_in_body(event({"text": "one"}), half)) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post("/v1/completions", json={"model": "smollm2", "prompt": "x"}) as response:
            first, error, done, rest = (await response.text()).split("\n\n")
    assert first == 'data: {"text": "one"}'
    assert '"code": "engine_failed"' in error
    assert (done, rest) == ("data: [DONE]", "")


async def test_an_answer_that_breaks_off_is_visibly_cut(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(die_in_body(b'{"generated_text": ["hel', head_=CHUNKED)) as pod:
        fleet.serve("smollm2", pod.url)
        with pytest.raises(aiohttp.ClientPayloadError):
            await _generate(router)


@pytest.mark.parametrize("started", [b"", EVENTS_HEAD + chunk(event("one"))], ids=["before it answers", "in a stream"])
async def test_a_client_that_leaves_stops_the_pod(fleet: FakeFleet, router: RunningRouter, started: bytes) -> None:
    gate = Gate(before=started, then=respond(ANSWER))
    async with scripted_runtime(gate) as pod:
        fleet.serve("smollm2", pod.url)
        asking = asyncio.create_task(_generate(router, stream=True))
        await gate.reached.wait()
        asking.cancel()
        await gate.left.wait()
    assert len(pod.received) == 1


async def test_requests_spread_over_the_least_busy_pods(fleet: FakeFleet, router: RunningRouter) -> None:
    gates = [Gate(then=respond(ANSWER)) for _ in range(2)]
    async with scripted_runtime(gates[0]) as first, scripted_runtime(gates[1]) as second:
        fleet.serve("smollm2", first.url, second.url)
        asking = [asyncio.create_task(_generate(router)) for _ in range(6)]
        await until(lambda: first.open_requests + second.open_requests == 6)
        spread = (first.open_requests, second.open_requests)
        for gate in gates:
            gate.opened.set()
        await asyncio.gather(*asking)
    assert spread == (3, 3)


async def test_a_client_that_reads_slowly_holds_the_pod_back_and_nobody_else(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    pieces, sent = 200, 0

    async def flood(request: Received) -> None:
        nonlocal sent
        await request.write(CHUNKED)
        for _ in range(pieces):
            await request.write(chunk(b"x" * 262_144))
            sent += 1
        await request.write(END)

    async with scripted_runtime(flood, respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json=BODY) as slow:
            assert await _generate(router) == ANSWER
            assert sent < pieces  # 50 MB have not gone into anybody's memory
            assert len(await slow.read()) == pieces * 262_144


async def test_a_client_that_takes_nothing_for_too_long_is_dropped(fleet: FakeFleet) -> None:
    left = asyncio.Event()

    async def flood(request: Received) -> None:
        await request.write(CHUNKED)
        try:
            while True:
                await request.write(chunk(b"x" * 262_144))
        except ConnectionError:
            left.set()

    async with running_router(fleet, stall_timeout=0.1) as router, scripted_runtime(flood) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json=BODY):
            await left.wait()


async def test_a_stream_reaches_the_openai_client(fleet: FakeFleet, router: RunningRouter) -> None:
    openai = pytest.importorskip("openai")
    piece = {"id": "c", "object": "text_completion", "created": 0, "model": "smollm2"}
    pieces = [{**piece, "choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in ("Par", "is")]
    async with scripted_runtime(stream(*pieces, "[DONE]")) as pod:
        fleet.serve("smollm2", pod.url)
        async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0) as client:
            answer = await client.completions.create(model="smollm2", prompt="x", stream=True)
            texts = [part.choices[0].text async for part in answer]
    assert texts == ["Par", "is"]
