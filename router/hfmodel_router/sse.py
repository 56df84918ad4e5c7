"""Server-sent events: heartbeats, errors, and where one event ends."""

import json
from typing import Any

from hfmodel_api.wire import TOKENS_COMMENT
from hfmodel_router.cors import Headers

CONTENT_TYPE = b"text/event-stream"
HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_TOKENS_LINE = b"\n" + TOKENS_COMMENT
_MAX_PARTIAL = 1024 * 1024  # bytes of one event that are kept back; a longer one goes out in parts


def comment(text: str) -> bytes:
    """A line that clients ignore and that keeps a connection alive."""
    return f": {' '.join(text.split())}\n\n".encode()


def error_events(body: Any) -> bytes:
    """The JSON body of an error as the last events of a stream; its shape is that of the call's other errors."""
    return f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n".encode()


def split_tokens(events: bytes) -> tuple[bytes, bytes]:
    """Whole events without the comment of a pod that tells its tokens, and what that says; nothing if it is not there.

    JSON has no line ends inside, so no text of a model can look like it.
    """
    lines = b"\n" + events
    at = lines.rfind(_TOKENS_LINE)
    if at < 0:
        return events, b""
    said, _, after = lines[at + len(_TOKENS_LINE) :].partition(b"\n\n")
    return lines[1 : at + 1] + after, said


class WholeEvents:
    """Cuts a byte stream where events end, so that a stream that breaks off never leaves half an event behind."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may be sent now: all events that are complete."""
        if not self._partial and chunk.endswith(b"\n\n"):
            return chunk
        data = self._partial + chunk
        end = max(_end_of_last(b"\n\n", data), _end_of_last(b"\r\n\r\n", data))
        if not end and len(data) > _MAX_PARTIAL:
            end = len(data)
        self._partial = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What is left at the clean end of the stream."""
        partial, self._partial = self._partial, b""
        return partial


def _end_of_last(separator: bytes, data: bytes) -> int:
    found = data.rfind(separator)
    return 0 if found < 0 else found + len(separator)
