"""A pod's answer as it comes over a connection, in whichever pieces: its bytes, its end, and how it breaks."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_router.upstream import Connection, Reply, UpstreamBroken

BODY = b"hello, world"
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n" + BODY
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\n" + BODY
WHOLE = {
    "of known length": LENGTH,
    "chunked": CHUNKED,
    "chunked, with a trailer": CHUNKED.removesuffix(b"\r\n") + b"x-checksum: 3\r\n\r\n",
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH,
    "after 103 Early Hints": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + CHUNKED,
}
HUGE = 300 * 1024


class FakeTransport(asyncio.Transport):
    """Notes what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Wire:
    """A connection with a request under way, whose other end is the test."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.freed: list[Connection] = []
        self.connection = Connection(freed=self.freed.append, lost=lambda _: None)
        self.connection.connection_made(self.transport)
        self.reply = self.connection.post(b"POST / HTTP/1.1\r\n\r\n", b"")

    def say(self, data: bytes) -> None:
        """As a socket does, nothing more once the connection is closed."""
        if not self.transport.closed:
            self.connection.data_received(data)


async def _read(reply: Reply) -> bytes:
    await reply.began(whole_up_to=0)
    parts = []
    while part := await reply.read():
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE.keys())
async def test_an_answer_leaves_the_connection_good_for_the_next(answer: bytes) -> None:
    wire = Wire()
    for _ in range(3):
        wire.say(answer)
        assert (wire.reply.status, await _read(wire.reply)) == (200, BODY)
        wire.reply = wire.connection.post(b"POST / HTTP/1.1\r\n\r\n", b"")
    assert len(wire.freed) == 3
    assert not wire.transport.closed


@given(st.sampled_from(list(WHOLE.values())), st.lists(st.integers(0, 200), max_size=20))
def test_the_pieces_of_an_answer_make_no_difference(answer: bytes, cuts: list[int]) -> None:
    async def read() -> tuple[bytes, list[tuple[bytes, bytes]]]:
        wire = Wire()
        at = 0
        for cut in (*sorted(cuts), len(answer)):
            if answer[at:cut]:
                wire.say(answer[at:cut])
            at = max(at, cut)
        assert wire.freed == [wire.connection]
        return await _read(wire.reply), wire.reply.headers

    body, headers = asyncio.run(read())
    assert body == BODY
    expected = (b"content-length", b"12") if answer.endswith(LENGTH) else (b"transfer-encoding", b"chunked")
    assert headers == [expected]


async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    wire = Wire()
    wire.say(UNTIL_CLOSE)
    assert not wire.reply.at_end
    wire.connection.connection_lost(None)
    assert await _read(wire.reply) == BODY
    assert wire.freed == []


BROKEN = {
    "before the head": (b"", None),
    "in the head": (LENGTH[:20], None),
    "after 100 Continue": (b"HTTP/1.1 100 Continue\r\n\r\n", None),
    "before the first byte of the body": (LENGTH.removesuffix(BODY), None),
    "in a chunk's length": (CHUNKED.partition(b"5\r\n")[0] + b"5", None),
    "by a reset, where it would end with its connection": (UNTIL_CLOSE.removesuffix(BODY), ConnectionResetError()),
}


@pytest.mark.parametrize(("said", "error"), BROKEN.values(), ids=BROKEN.keys())
async def test_an_answer_that_breaks_before_its_body_is_an_error(said: bytes, error: Exception | None) -> None:
    wire = Wire()
    if said:
        wire.say(said)
    wire.connection.connection_lost(error)
    with pytest.raises(UpstreamBroken):
        await wire.reply.began(whole_up_to=0)


@pytest.mark.parametrize("said", [LENGTH[:-3], CHUNKED[:-5], CHUNKED[:-2]], ids=["length", "last chunk", "its end"])
async def test_an_answer_that_breaks_in_its_body_gives_what_came_and_then_an_error(said: bytes) -> None:
    wire = Wire()
    wire.say(said)
    wire.connection.connection_lost(None)
    await wire.reply.began(whole_up_to=0)
    assert BODY.startswith(await wire.reply.read())
    with pytest.raises(UpstreamBroken):
        await wire.reply.read()


async def test_a_short_answer_has_not_begun_until_it_is_whole() -> None:
    wire = Wire()
    wire.say(LENGTH[:-3])
    beginning = asyncio.create_task(wire.reply.began(whole_up_to=100))
    await asyncio.sleep(0)
    assert not beginning.done()
    wire.connection.connection_lost(None)
    with pytest.raises(UpstreamBroken):
        await beginning


STRAY = {
    "not HTTP": b"SSH-2.0\r\n",
    "an answer nobody asked for": LENGTH,
}


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY.keys())
@pytest.mark.parametrize("at_once", [True, False], ids=["with the answer", "later"])
async def test_bytes_that_nobody_asked_for_end_the_connection_and_not_the_answer(stray: bytes, at_once: bool) -> None:
    wire = Wire()
    wire.say(LENGTH + stray if at_once else LENGTH)
    if not at_once:
        wire.say(stray)
    assert await _read(wire.reply) == BODY
    assert wire.transport.closed


NOT_HTTP = {
    "words": b"hello\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
    "a length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
    "a length in a trailer": CHUNKED.removesuffix(b"\r\n") + b"content-length: 3\r\n\r\n",
    "a length below zero": b"HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\n",
}


@pytest.mark.parametrize("said", NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_what_is_no_answer_is_an_error(said: bytes) -> None:
    wire = Wire()
    wire.say(said)
    assert wire.transport.closed
    with pytest.raises(UpstreamBroken):
        await _read(wire.reply)


async def test_a_pod_that_closes_after_its_answer_is_asked_no_more_on_that_connection() -> None:
    wire = Wire()
    wire.say(LENGTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
    assert await _read(wire.reply) == BODY
    assert (wire.freed, wire.transport.closed) == ([], True)


async def test_a_pod_that_answers_before_it_took_the_request_is_asked_no_more_on_that_connection() -> None:
    wire = Wire()
    wire.transport.unsent = 1
    wire.say(LENGTH)
    assert await _read(wire.reply) == BODY
    assert (wire.freed, wire.transport.closed) == ([], True)


async def test_an_answer_that_nobody_reads_is_not_taken_from_the_pod() -> None:
    wire = Wire()
    wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (2 * HUGE) + b"x" * HUGE)
    assert not wire.transport.reading
    assert len(await wire.reply.read()) == HUGE
    assert wire.transport.reading
    wire.say(b"x" * HUGE)
    assert wire.freed == [wire.connection]
    assert wire.transport.reading  # for the next request, though nobody has read this answer's end
    assert len(await wire.reply.read()) == HUGE


async def test_an_answer_that_is_given_up_closes_its_connection() -> None:
    wire = Wire()
    wire.say(LENGTH[:-3])
    wire.reply.close()
    assert wire.transport.closed


async def test_an_answer_that_is_complete_closes_nothing() -> None:
    wire = Wire()
    wire.say(LENGTH)
    wire.reply.close()
    assert not wire.transport.closed
