"""A caller that hangs up stops costing, whatever its request was waiting for."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from hfmodel_runtime.server.model import ServedModel
from support.fake_engine import FakeEngine

CALLS: dict[str, dict[str, Any]] = {
    "/generate": {"text": "x", "num_return_sequences": 3},
    "/chat": {"message": "x"},
    "/v1/completions": {"model": "fake", "prompt": ["x", "y"], "n": 2},
    "/v1/chat/completions": {"model": "fake", "messages": [{"role": "user", "content": "x"}], "n": 2},
}
UntilIdle = Callable[[], "asyncio.Task[bool]"]


def _sequences(call: dict[str, Any]) -> int:
    prompts = len(call["prompt"]) if "prompt" in call else 1
    return prompts * int(call.get("n", call.get("num_return_sequences", 1)))


async def _hang_up(request: "asyncio.Task[httpx.Response]") -> None:
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await request


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", CALLS)
async def test_hanging_up_before_the_first_token_ends_every_sequence(
    live_client: httpx.AsyncClient, engine: FakeEngine, until_idle: UntilIdle, path: str, stream: bool
) -> None:
    engine.pause()
    call = {**CALLS[path], "stream": stream}
    request = asyncio.create_task(live_client.post(path, json=call))
    await asyncio.to_thread(engine.wait_for_sequences, _sequences(call))
    await _hang_up(request)
    await asyncio.to_thread(engine.wait_for_sequences, 0)
    await until_idle()


@pytest.mark.parametrize("path", CALLS)
async def test_hanging_up_in_the_middle_of_a_stream_ends_it(
    live_client: httpx.AsyncClient, engine: FakeEngine, until_idle: UntilIdle, path: str
) -> None:
    engine.script = lambda _: ["x"] * 500
    engine.pause()
    engine.step(1)
    async with live_client.stream("POST", path, json={**CALLS[path], "stream": True}) as response:
        await anext(response.aiter_lines())
    await asyncio.to_thread(engine.wait_for_sequences, 0)
    await until_idle()


async def test_a_caller_that_left_is_logged_as_gone(
    live_client: httpx.AsyncClient, engine: FakeEngine, until_idle: UntilIdle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hfmodel_runtime")
    engine.pause()
    request = asyncio.create_task(live_client.post("/generate", json={"text": "x"}))
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    await _hang_up(request)
    await until_idle()
    await live_client.get("/v1/models")  # a later line: the one before it is there
    first = next(record for record in caplog.records if record.message == "request")
    assert (first.__dict__["fields"]["status"], first.__dict__["fields"]["finish_reason"]) == (499, "cancelled")


async def test_one_caller_leaving_does_not_end_anothers_answer(
    live_client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.pause()
    leaving = asyncio.create_task(live_client.post("/generate", json={"text": "x"}))
    staying = asyncio.create_task(live_client.post("/generate", json={"text": "y"}))
    await asyncio.to_thread(engine.wait_for_sequences, 2)
    await _hang_up(leaving)
    await asyncio.to_thread(engine.wait_for_sequences, 1)
    engine.resume()
    assert (await staying).json()["generated_text"] == ["yHello, world"]


async def test_hanging_up_in_the_middle_of_a_body_leaves_nothing(
    live_client: httpx.AsyncClient, model: ServedModel
) -> None:
    url = live_client.base_url
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await live_client.post("/generate", json={"text": "y"})).status_code == 200
    assert model.lifecycle.in_flight == 0
    assert model.activity().requests_total == 1


async def test_pieces_arrive_as_they_are_computed(live_client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.pause()
    engine.step()
    async with live_client.stream("POST", "/generate", json={"text": "x", "stream": True}) as response:
        lines = response.aiter_lines()
        for expected in ("Hello", ",", " world"):
            assert json.loads((await anext(lines)).removeprefix("data: "))["text"] == expected
            assert await anext(lines) == ""
            engine.step()
        engine.resume()
        rest = [line async for line in lines]
    assert rest[-2:] == ["data: [DONE]", ""]


async def test_silence_is_filled_with_comments(
    live_client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfmodel_runtime.server.sse.PING_SECONDS", 0.001)
    engine.pause()
    async with live_client.stream("POST", "/chat", json={"message": "x", "stream": True}) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == ": ping"
        engine.resume()
        rest = [line async for line in lines]
    assert "data: [DONE]" in rest


async def test_a_caller_that_stops_reading_is_let_go(
    live_client: httpx.AsyncClient, model: ServedModel, engine: FakeEngine, until_idle: UntilIdle
) -> None:
    model.settings = replace(model.settings, stall_timeout=0.05)
    engine.script = lambda _: ["x" * 1_000_000] * 20
    body = b'{"text": "x", "stream": true}'
    _, writer = await asyncio.open_connection(live_client.base_url.host, live_client.base_url.port, limit=1)
    writer.write(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await asyncio.to_thread(engine.wait_for_request)
    await until_idle()
    writer.transport.abort()
