"""What is asked of the routers, and what came of it."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from simulation.connections import Wire
from simulation.routers import RunningRouter, expected_text

_SERVICE_PAUSE: Final = 0.5  # seconds until a client that found no router tries again
_DONE: Final = "[DONE]"


class Outcome(StrEnum):
    ANSWERED = "answered"  # with the right text
    WRONG = "wrong"  # with another
    REFUSED = "refused"  # 429: too many wait already
    FAILED = "failed"  # with another error; the note says which
    CUT = "cut"  # a stream whose first byte was there ended in a visible error
    LOST = "lost"  # it ended in a way that tells the client nothing
    LEFT = "left"  # the client did not wait for the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Times are seconds."""

    model_id: str
    number: int
    stream: bool = False
    seconds: float = 1.0  # of work at a pod
    leaves_after: float | None = None

    @property
    def prompt(self) -> str:
        return f"request {self.number} to {self.model_id}"


@dataclass(frozen=True, slots=True)
class Result:
    request: Request
    outcome: Outcome
    note: str = ""
    reconnects: int = 0  # a router was killed under it before a byte had come, and it asked another


class Client:
    """Sends requests to any router that the Service names, as an SDK does: a connection that breaks before the first
    byte of an answer is tried again, an answer is final.
    """

    def __init__(self, routers: Callable[[], Sequence[RunningRouter]], *, rng: random.Random) -> None:
        self._routers = routers
        self._random = rng

    async def ask(self, request: Request) -> Result:
        reconnects = 0
        while True:
            ready = [router for router in self._routers() if router.accepts]
            if not ready:
                await asyncio.sleep(_SERVICE_PAUSE)
                continue
            wire = ready[self._random.randrange(len(ready))].port.connect()
            wire.post(f"/models/{request.model_id}/generate", _body(request))
            await _until(wire, request.leaves_after)
            if wire.status or request.leaves_after is not None:
                return _judge(request, wire, reconnects=reconnects)
            reconnects += 1


async def _until(wire: Wire, leaves_after: float | None) -> None:
    """Until the answer is complete, the connection is gone, or the client goes."""
    try:
        async with asyncio.timeout(leaves_after):
            await wire.over.wait()
    except TimeoutError:
        wire.hang_up()


def _body(request: Request) -> dict[str, Any]:
    return {"text": request.prompt, "seed": round(request.seconds * 1000), "stream": request.stream}


def _judge(request: Request, told: Wire, *, reconnects: int) -> Result:
    outcome, note = _outcome(request, told)
    if request.leaves_after is not None and not told.complete:
        outcome = Outcome.LEFT
    return Result(request, outcome, note, reconnects)


def _outcome(request: Request, told: Wire) -> tuple[Outcome, str]:
    if request.stream and told.status == 200:
        return _stream_outcome(request, told)
    if not told.complete:
        return Outcome.LOST, f"status {told.status}, and then nothing"
    if told.status == 200:
        right = json.loads(told.body).get("text") == expected_text(request.prompt)
        return (Outcome.ANSWERED if right else Outcome.WRONG), told.body.decode()
    if told.status == 429:
        return Outcome.REFUSED, ""
    return Outcome.FAILED, f"{told.status}: {told.body.decode()}"


def _stream_outcome(request: Request, told: Wire) -> tuple[Outcome, str]:
    events = [line[6:] for line in told.body.decode().splitlines() if line.startswith("data: ")]
    texts = [json.loads(event) for event in events if event != _DONE]
    if any("error" in text or "detail" in text for text in texts):
        begun = any("text" in text for text in texts)
        return (Outcome.CUT if begun else Outcome.FAILED), str(texts[-1])
    if not told.complete:
        return Outcome.CUT, "the connection broke, without an end of the stream"
    right = "".join(text["text"] for text in texts) == expected_text(request.prompt)
    return (Outcome.ANSWERED if right and events[-1:] == [_DONE] else Outcome.WRONG), told.body.decode()
