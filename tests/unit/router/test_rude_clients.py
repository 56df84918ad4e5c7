"""Clients that send too much, too slowly or not at all, or take nothing: each is ended, and nobody else notices."""

import json
import socket

import pytest

from hfmodel_api.connections import watch_for_dead_peers
from hfmodel_router.serve import bind
from support.fake_fleet import FakeFleet
from support.polling import until
from support.rude_clients import post, rude_client
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import EVENTS_HEAD, Received, chunk, respond, scripted_runtime

GENERATE = "/models/smollm2/generate"
ASK = post(GENERATE, b'{"text": "hello"}')
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HUGE = b"x" * 40_000


async def _still_serves(router: RunningRouter) -> None:
    async with router.http.get("/healthz") as response:
        assert response.status == 200


def _refused(router: RunningRouter, reason: str) -> bool:
    return f'refused_total{{reason="{reason}"}}'.encode() in router.app.metrics.exposition()


TOO_MUCH = {
    "one long header": b"GET /healthz HTTP/1.1\r\nX: " + HUGE + b"\r\n\r\n",
    "a header that never ends": b"GET /healthz HTTP/1.1\r\nX: " + HUGE,
    "a long path": b"GET /" + HUGE + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n",
    "a long header before a body": post(GENERATE, b"{}", b"X: " + HUGE),
}


@pytest.mark.parametrize("sent", TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_headers_beyond_the_bounds_are_refused_in_words(router: RunningRouter, sent: bytes) -> None:
    async with rude_client(router.url) as client:
        await client.send(sent)
        said = await client.answer()
        assert (said.status, said.json()["code"], said.headers["connection"]) == (431, "head_too_large", "close")
        assert "32768 bytes" in said.json()["detail"]
        assert said.headers["x-request-id"]
        await client.until_closed()
    assert _refused(router, "head_too_large")
    await _still_serves(router)


async def test_headers_in_many_pieces_are_added_up(router: RunningRouter) -> None:
    async with rude_client(router.url) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\n")
        for number in range(50):
            await client.send(b"X-%d: %b\r\n" % (number, b"y" * 1000))
        assert (await client.answer()).status == 431


async def test_a_large_body_that_comes_with_its_head_counts_for_the_body(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    async with scripted_runtime(respond({"generated_text": ["x"]})) as pod, rude_client(router.url) as client:
        fleet.serve("smollm2", pod.url)
        await client.send(post(GENERATE, json.dumps({"text": "x" * 60_000}).encode()))
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02", b"GET\r\n\r\n", b"hello\r\n"], ids=["TLS", "no path", "words"])
async def test_what_is_not_http_is_refused_in_words(router: RunningRouter, sent: bytes) -> None:
    async with rude_client(router.url) as client:
        await client.send(sent)
        said = await client.answer()
        assert (said.status, said.json()["code"]) == (400, "invalid_request")
    await _still_serves(router)


@pytest.mark.parametrize("before", [b"", GET], ids=["first request", "a later one"])
async def test_headers_that_come_too_slowly_are_given_up(fleet: FakeFleet, before: bytes) -> None:
    async with running_router(fleet, header_timeout=0.05) as router, rude_client(router.url) as client:
        if before:
            await client.send(before)
            assert (await client.answer()).status == 200
        await client.send(b"GET /healthz HTTP/1.1\r\nX: ")
        said = await client.answer()
        assert (said.status, said.json()["code"]) == (408, "head_timeout")
        await client.until_closed()
        assert _refused(router, "head_timeout")


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "an empty line"])
async def test_a_connection_that_asks_nothing_is_closed(fleet: FakeFleet, sent: bytes) -> None:
    async with running_router(fleet, header_timeout=0.05) as router, rude_client(router.url) as client:
        await client.send(sent)
        await client.until_closed()


async def test_a_connection_that_asks_nothing_more_is_closed(fleet: FakeFleet) -> None:
    async with running_router(fleet, keep_alive=0.05) as router, rude_client(router.url) as client:
        await client.send(GET)
        assert (await client.answer()).status == 200
        await client.until_closed()


async def test_a_body_that_comes_too_slowly_wakes_nobody(fleet: FakeFleet) -> None:
    async with running_router(fleet, body_timeout=0.05) as router, rude_client(router.url) as client:
        await client.send(post(GENERATE, b'{"text"', length=100))
        said = await client.answer()
        assert (said.status, said.json()["code"]) == (400, "invalid_request")
    assert fleet.wants == []


async def test_the_rest_of_a_body_that_was_refused_does_not_keep_a_connection(fleet: FakeFleet) -> None:
    bounds = {"header_timeout": 0.05, "keep_alive": 60, "max_body_bytes": 1000}
    async with running_router(fleet, **bounds) as router, rude_client(router.url) as client:
        await client.send(post(GENERATE, b"x" * 2000, length=10**9))
        assert (await client.answer()).status == 413
        await client.send(b"x")
        await client.until_closed()


async def test_connections_beyond_the_bound_are_told_so_and_the_others_are_served(fleet: FakeFleet) -> None:
    async with (
        running_router(fleet, max_connections=4) as router,
        rude_client(router.url) as first,
        rude_client(router.url) as second,
        rude_client(router.url) as third,
        rude_client(router.url) as fourth,
    ):
        for client in (first, second, third, fourth):
            await client.send(GET)
            assert (await client.answer()).status == 200
        async with rude_client(router.url) as fifth:
            # The fifth is open until it was told why, and with it there is no room to tell a sixth.
            async with rude_client(router.url) as sixth:
                await sixth.until_closed()
            await fifth.send(ASK)
            said = await fifth.answer()
            assert (said.status, said.json()["code"], said.headers["retry-after"]) == (429, "overloaded", "1")
            assert said.headers["connection"] == "close"
            await fifth.until_closed()
        await first.send(GET)
        assert (await first.answer()).status == 200
    assert fleet.wants == []


async def test_a_client_that_takes_nothing_holds_up_its_own_answer_and_no_other(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    sent = 0

    async def endless(request: Received) -> None:
        nonlocal sent
        await request.write(EVENTS_HEAD)
        while sent < 200_000_000:
            await request.write(chunk(b"data: " + b"x" * 60_000 + b"\n\n"))
            sent += 60_000

    async with scripted_runtime(endless, respond({"generated_text": ["x"]})) as pod:
        fleet.serve("smollm2", pod.url)
        async with rude_client(router.url, takes_little=True) as client:
            await client.send(ASK)
            await until(lambda: sent > 0)
            for _ in range(20):
                async with router.http.post(GENERATE, json={"text": "x"}) as response:
                    assert response.status == 200
            # What fits into the buffers of two connections, and not what the pod would send.
            assert sent < 30_000_000


@pytest.mark.parametrize("complete", [True, False], ids=["of a complete answer", "of a stream"])
async def test_what_a_client_does_not_take_is_not_kept_for_ever(fleet: FakeFleet, complete: bool) -> None:
    async def events(request: Received) -> None:
        await request.write(EVENTS_HEAD)
        while True:
            await request.write(chunk(b"data: " + b"x" * 60_000 + b"\n\n"))

    whole = respond({"generated_text": ["x" * 20_000_000]})
    async with (
        running_router(fleet, stall_timeout=0.05) as router,
        scripted_runtime(whole if complete else events) as pod,
    ):
        fleet.serve("smollm2", pod.url)
        async with rude_client(router.url, takes_little=True) as client:
            await client.send(ASK)
            await until(lambda: bool(pod.received))
            await until(lambda: pod.open_requests == 0)
            await until(lambda: _refused(router, "client_stalled"))


async def test_a_peer_that_is_gone_without_a_word_is_noticed(fleet: FakeFleet) -> None:
    listener = bind("127.0.0.1", 0)
    watch_for_dead_peers(listener)
    with listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
