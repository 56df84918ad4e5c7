"""Clients that send too much, too slowly or not at all, or take nothing: each is ended, and nobody else notices."""

import asyncio
import contextlib
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
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


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


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_are_answered_on_connections_beyond_the_bound(fleet: FakeFleet, path: str) -> None:
    async with running_router(fleet, max_connections=4) as router, contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(rude_client(router.url))
        async with rude_client(router.url) as probe:
            await probe.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await probe.answer()).status == 200


async def test_bodies_that_are_too_much_together_are_refused_and_leave_room_when_they_go(fleet: FakeFleet) -> None:
    body = {"text": "x" * 3000}
    async with (
        running_router(fleet, max_body_bytes_total=5000) as router,
        scripted_runtime(respond({"generated_text": ["x"]})) as pod,
    ):
        held = asyncio.create_task(router.http.post(GENERATE, json=body))
        await until(lambda: bool(fleet.wants))
        async with router.http.post(GENERATE, json=body) as refused:
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "5000 bytes" in (await refused.json())["detail"]
        fleet.serve("smollm2", pod.url)
        assert (await held).status == 200
        for _ in range(3):
            async with router.http.post(GENERATE, json=body) as response:
                assert response.status == 200


UPGRADES = {
    "HTTP/2 in clear text": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    "WebSocket": (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
}


@pytest.mark.parametrize("wish", UPGRADES.values(), ids=UPGRADES.keys())
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "body later"])
async def test_a_wish_for_another_protocol_changes_nothing(
    fleet: FakeFleet, router: RunningRouter, wish: tuple[bytes, ...], apart: bool
) -> None:
    # What a parser that takes the wish seriously would see as the next request.
    body = b'{"text": "GET /v1/models HTTP/1.1"}'
    sent = post(GENERATE, body, *wish)
    async with scripted_runtime(respond({"generated_text": ["x"]})) as pod, rude_client(router.url) as client:
        fleet.serve("smollm2", pod.url)
        for part in (sent[: -len(body)], sent[-len(body) :]) if apart else (sent,):
            await client.send(part)
            await asyncio.sleep(0.01)
        said = await client.answer()
        assert (said.status, said.json()) == (200, {"generated_text": ["x"]})
        assert [request.body for request in pod.received] == [body]
        await client.send(GET)
        assert (await client.answer()).status == 200


async def test_this_is_no_proxy(router: RunningRouter) -> None:
    async with rude_client(router.url) as client:
        await client.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        said = await client.answer()
        assert (said.status, "CONNECT" in said.json()["detail"]) == (400, True)
        await client.until_closed()


def _chunked(*trailers: bytes) -> bytes:
    head = post(GENERATE, b"").split(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b'11\r\n{"text": "hello"}\r\n0\r\n' + b"".join(trailers) + b"\r\n"


async def test_a_trailer_is_no_header(fleet: FakeFleet) -> None:
    async with running_router(fleet, api_keys=("k3y",)) as router, rude_client(router.url) as client:
        await client.send(_chunked(b"X-API-Key: k3y\r\n"))
        assert (await client.answer()).status == 401


async def test_trailers_have_the_bounds_of_headers(fleet: FakeFleet, router: RunningRouter) -> None:
    async with rude_client(router.url) as client:
        await client.send(_chunked(*(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(50))))
        assert (await client.answer()).status == 431
        await client.until_closed()
    assert fleet.wants == []


async def test_requests_sent_ahead_are_answered_in_turn(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond({"generated_text": ["x"]})) as pod, rude_client(router.url) as client:
        await client.send(ASK + 3 * GET)
        await until(lambda: bool(fleet.wants))
        fleet.serve("smollm2", pod.url)
        assert [(await client.answer()).status for _ in range(4)] == [200] * 4


AHEAD = {
    "too many": 1000 * GET,
    "one that is no request": b"hello\r\n\r\n",
    "one with too large a head": b"GET / HTTP/1.1\r\nX: " + HUGE + b"\r\n\r\n",
    "one with a large body": post(GENERATE, b"x" * 100_000),
}


@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD.keys())
async def test_what_may_not_be_sent_ahead_ends_the_connection_after_the_answer_under_way(
    fleet: FakeFleet, router: RunningRouter, ahead: bytes
) -> None:
    async with scripted_runtime(respond({"generated_text": ["x"]})) as pod, rude_client(router.url) as client:
        await client.send(ASK + ahead)
        await until(lambda: bool(fleet.wants))
        fleet.serve("smollm2", pod.url)
        said = await client.answer()
        assert (said.status, said.headers["connection"]) == (200, "close")
        await client.until_closed()
    await _still_serves(router)


async def test_a_head_that_is_late_does_not_cut_the_answer_before_it(fleet: FakeFleet) -> None:
    async with (
        running_router(fleet, header_timeout=0.05) as router,
        scripted_runtime(respond({"generated_text": ["x"]})) as pod,
        rude_client(router.url) as client,
    ):
        await client.send(ASK + b"GET /healthz HTTP/1.1\r\nX: ")
        await until(lambda: _refused(router, "head_timeout"))
        fleet.serve("smollm2", pod.url)
        assert (await client.answer()).status == 200
        await client.until_closed()


async def test_a_client_that_leaves_with_requests_ahead_is_waited_for_no_more(
    fleet: FakeFleet, router: RunningRouter
) -> None:
    async with rude_client(router.url) as client:
        await client.send(ASK + ASK)
        await until(lambda: bool(fleet.wants))
    await until(lambda: b'hfmodel_router_held{model="smollm2"} 0.0' in router.app.metrics.exposition())


async def test_a_client_that_takes_a_byte_at_a_time_is_cut_off(fleet: FakeFleet) -> None:
    whole = respond({"generated_text": ["x" * 20_000_000]})
    async with (
        running_router(fleet, stall_timeout=0.3) as router,
        scripted_runtime(whole) as pod,
        rude_client(router.url, takes_little=True) as client,
    ):
        fleet.serve("smollm2", pod.url)
        await client.send(ASK)
        while not _refused(router, "client_stalled"):
            await client.take(1)
            await asyncio.sleep(0.001)


async def test_a_stream_to_an_old_client_has_no_chunks_and_ends_with_its_connection(fleet: FakeFleet) -> None:
    async def events(request: Received) -> None:
        await request.write(EVENTS_HEAD)
        await request.write(chunk(b"data: one\n\n") + b"0\r\n\r\n")

    async with (
        running_router(fleet) as router,
        scripted_runtime(events) as pod,
        rude_client(router.url) as client,
    ):
        fleet.serve("smollm2", pod.url)
        await client.send(ASK.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert body == b"data: one\n\n"


async def test_a_client_is_told_to_send_its_body(fleet: FakeFleet, router: RunningRouter) -> None:
    sent = post(GENERATE, b'{"text": "x"}', b"Expect: 100-continue")
    head, _, body = sent.partition(b"\r\n\r\n")
    async with scripted_runtime(respond({"generated_text": ["x"]})) as pod, rude_client(router.url) as client:
        fleet.serve("smollm2", pod.url)
        await client.send(head + b"\r\n\r\n")
        assert await client.take(len(CONTINUE)) == CONTINUE
        await client.send(body)
        assert (await client.answer()).status == 200


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
