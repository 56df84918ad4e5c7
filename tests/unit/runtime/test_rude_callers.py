"""Callers that send too much, too slowly or not at all, or take nothing: each is ended, and the others are served."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.settings import ServeSettings
from support.fake_engine import FakeEngine
from support.polling import until
from support.rude_clients import post, rude_client

UntilIdle = Callable[[], "asyncio.Task[bool]"]
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings other than the usual ones; tests override it by parameters."""
    return {}


@pytest.fixture
def settings(settings: ServeSettings, changes: dict[str, Any]) -> ServeSettings:
    return replace(settings, **changes)


def _with(**changes: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("changes", [changes], ids=["-".join(changes)])


TOO_MUCH = {
    "one long header": b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
    "a header that never ends": b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 40_000,
    "many headers": b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n",
}


@pytest.mark.parametrize("sent", TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_headers_beyond_the_bounds_are_refused(live_client: httpx.AsyncClient, sent: bytes) -> None:
    async with rude_client(str(live_client.base_url)) as client:
        await client.send(sent)
        said = await client.answer()
        assert (said.status, said.json()["code"]) == (431, "head_too_large")
        await client.until_closed()
    assert (await live_client.get("/healthz")).status_code == 200


@_with(header_timeout=0.05)
async def test_headers_that_come_too_slowly_are_given_up(live_client: httpx.AsyncClient) -> None:
    async with rude_client(str(live_client.base_url)) as client:
        await client.send(GET)
        assert (await client.answer()).status == 200
        await client.send(GET[:20])
        assert (await client.answer()).status == 408
        await client.until_closed()


@_with(header_timeout=0.05)
async def test_a_connection_that_asks_nothing_is_closed(live_client: httpx.AsyncClient) -> None:
    async with rude_client(str(live_client.base_url)) as client:
        await client.until_closed()


@_with(body_timeout=0.05)
@pytest.mark.parametrize("path", ["/generate", "/retire"])
async def test_a_body_that_comes_too_slowly_is_given_up(live_client: httpx.AsyncClient, path: str) -> None:
    async with rude_client(str(live_client.base_url)) as client:
        await client.send(post(path, b'{"text"', length=100))
        said = await client.answer()
        assert (said.status, said.json()["code"]) == (400, "invalid_request")
        assert "did not arrive" in said.json()["detail"]
    assert (await live_client.get("/activity")).json()["requests_total"] == 0


@_with(max_connections=1)
async def test_connections_beyond_the_bound_are_told_so(live_client: httpx.AsyncClient) -> None:
    async with rude_client(str(live_client.base_url)) as first:
        await first.send(GET)
        assert (await first.answer()).status == 200
        async with rude_client(str(live_client.base_url)) as second:
            await second.until_closed()
        await first.send(GET)
        assert (await first.answer()).status == 200


@_with(stall_timeout=0.05)
async def test_a_whole_answer_that_nobody_takes_is_not_kept(
    live_client: httpx.AsyncClient, model: ServedModel, engine: FakeEngine, until_idle: UntilIdle
) -> None:
    engine.script = lambda _: ["x" * 20_000_000]
    async with rude_client(str(live_client.base_url), takes_little=True) as client:
        await client.send(post("/generate", b'{"text": "x"}'))
        await asyncio.to_thread(engine.wait_for_request)
        await until_idle()
        await until(lambda: b'refused_total{reason="client_stalled"} 1.0' in model.metrics.render())
