"""Reads a stream of server-sent events, as OpenAI's API sends them."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from hfmodel_cli.errors import Refused
from hfmodel_cli.text import one_line

_DATA = b"data:"
_DONE = b"[DONE]"


def events(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Each event's JSON, as soon as it is there; heartbeats are passed over.

    Raises:
        Refused: the server sent an error, or the stream ended before its end mark.
    """
    for line in _lines(chunks):
        if not line.startswith(_DATA):
            continue
        data = line[len(_DATA) :].strip()
        if data == _DONE:
            return
        yield _event(data)
    raise Refused("the answer was cut off: the connection ended before the end of the stream")


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError as error:
        raise Refused("the server sent an event that is not JSON") from error
    if not isinstance(event, dict):
        raise Refused("the server sent an event that is not an object")
    if isinstance(problem := event.get("error"), dict):
        raise Refused(one_line(str(problem.get("message") or problem.get("detail") or problem)))
    return event


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # By hand, for only \n and \r\n end a line here: httpx's lines also end at characters that an answer may contain.
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.rstrip(b"\r") for line in lines)
    yield rest
