"""Running the router in an event loop, and ending it without losing a request."""

import asyncio
import contextlib
import socket

import aiohttp
import pytest

from hfmodel_router.serve import CannotListen, bind
from support.fake_fleet import FakeFleet
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import Gate, respond, scripted_runtime

GENERATE = "/models/smollm2/generate"
BODY = {"text": "hello"}
ANSWER = {"generated_text": ["hello world"]}


async def _status(router: RunningRouter, path: str = GENERATE) -> int:
    method = "POST" if path == GENERATE else "GET"
    async with router.http.request(method, path, json=BODY if method == "POST" else None) as response:
        await response.read()
        return response.status


async def test_a_drain_finishes_what_runs_and_what_waits(fleet: FakeFleet) -> None:
    gate = Gate(then=respond(ANSWER))
    async with running_router(fleet, drain_timeout=20) as router, scripted_runtime(gate) as pod:
        waits = asyncio.create_task(_status(router))
        await fleet.wanted.wait()
        router.stop.set()
        fleet.serve("smollm2", pod.url)
        await gate.reached.wait()
        gate.opened.set()
        assert await waits == 200
        await router.ended


async def test_while_load_balancers_notice_it_is_not_ready_and_serves_on(fleet: FakeFleet) -> None:
    async with running_router(fleet, drain_delay=20) as router, scripted_runtime(respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        assert await _status(router, "/readyz") == 200
        router.stop.set()
        while await _status(router, "/readyz") != 503:
            pass
        assert await _status(router, "/healthz") == 200
        async with router.http.post(GENERATE, json=BODY) as response:
            assert response.status == 200
            assert response.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/readyz", "/metrics"])
async def test_head_answers_as_get_does_without_a_body(path: str, router: RunningRouter) -> None:
    async with router.http.get(path) as asked, router.http.head(path) as looked:
        await asked.read()
        assert (looked.status, looked.content_type) == (asked.status, asked.content_type)
        assert await looked.read() == b""


async def test_head_tells_too_that_it_is_not_ready(fleet: FakeFleet) -> None:
    async with running_router(fleet, drain_delay=20) as router:
        router.stop.set()
        while await _status(router, "/readyz") != 503:
            pass
        async with router.http.head("/readyz") as looked:
            assert looked.status == 503


async def test_whoever_still_waits_at_the_end_of_the_drain_is_told(fleet: FakeFleet) -> None:
    async with running_router(fleet, drain_timeout=0.05) as router:
        waits = asyncio.create_task(router.http.post(GENERATE, json=BODY))
        await fleet.wanted.wait()
        router.stop.set()
        async with await waits as response:
            assert response.status == 503
            assert response.headers["retry-after"] == "1"
            assert (await response.json())["code"] == "not_ready"
        await router.ended


async def test_what_runs_too_long_is_cut_and_its_pod_told(fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfmodel_router.serve._LAST_WORDS", 0.05)
    gate = Gate(then=respond(ANSWER))
    async with running_router(fleet, drain_timeout=0.05) as router, scripted_runtime(gate) as pod:
        fleet.serve("smollm2", pod.url)
        runs = asyncio.create_task(_status(router))
        await gate.reached.wait()
        router.stop.set()
        await gate.left.wait()
        assert await runs == 503
        await router.ended


async def test_nothing_is_left_of_a_router_that_ended(fleet: FakeFleet) -> None:
    async with running_router(fleet) as router, scripted_runtime(respond(ANSWER)) as pod:
        fleet.serve("smollm2", pod.url)
        assert await _status(router) == 200
        router.stop.set()
        await router.ended
        assert fleet.subscriptions == 0
        with pytest.raises(aiohttp.ClientConnectorError):
            await _status(router, "/healthz")


async def test_cancelling_the_router_ends_it_at_once(fleet: FakeFleet) -> None:
    async with running_router(fleet, drain_timeout=60) as router:
        waits = asyncio.create_task(router.http.post(GENERATE, json=BODY))
        await fleet.wanted.wait()
        router.ended.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await router.ended
        async with await waits as response:
            assert response.status == 503
    assert fleet.subscriptions == 0


async def test_the_default_model_is_woken_at_start(fleet: FakeFleet) -> None:
    async with running_router(fleet, default_model="smollm2"):
        await fleet.wanted.wait()
    assert fleet.wants == ["smollm2"]


async def test_an_unknown_default_model_is_only_logged(fleet: FakeFleet, caplog: pytest.LogCaptureFixture) -> None:
    async with running_router(fleet, default_model="nobody") as router:
        assert await _status(router, "/healthz") == 200
    assert "load failed" in caplog.text


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{port}.*in use"):
            bind("127.0.0.1", port)


def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(CannotListen, match=r"nowhere\.invalid"):
        bind("nowhere.invalid", 0)
