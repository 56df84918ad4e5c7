"""What goes over the wire in this bench: one request, one short answer, one stream of events."""

import json

MODEL = "distilgpt2"  # of the example catalogue
PATH = "/v1/chat/completions"
CHUNKS, CHUNK_BYTES, ANSWER_BYTES = 50, 150, 450
_FIRST_CHUNK_MARK = b"data: "
END_OF_CHUNKS = b"0\r\n\r\n"


def request(*, host: str, stream: bool, pace_ms: int = 1) -> bytes:
    """A POST as a client sends it. `pace_ms` asks the backend for so many milliseconds between two chunks."""
    messages = [{"role": "user", "content": "Tell me of the sea, and of those who never saw it."}]
    body = json.dumps({"model": MODEL, "messages": messages, "stream": stream, "pace_ms": pace_ms}).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: {host}\r\nuser-agent: bench\r\naccept: */*\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer() -> bytes:
    """A whole JSON answer."""
    return response(b'{"text":"' + b"x" * (ANSWER_BYTES - 11) + b'"}')


def response(body: bytes) -> bytes:
    """A whole answer of status 200."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def stream_head() -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event_chunk() -> bytes:
    """One event in one chunk of the chunked encoding."""
    event = _FIRST_CHUNK_MARK.ljust(CHUNK_BYTES - 2, b"x") + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)
