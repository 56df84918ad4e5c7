"""Passing a pod's answer on to the client, with backpressure, and ending it honestly when the pod breaks off."""

import json

from hfmodel_api.errors import EngineFailed
from hfmodel_router import sse
from hfmodel_router.errors import BrokenOff
from hfmodel_router.exchange import Exchange
from hfmodel_router.relay import Answer


async def deliver(exchange: Exchange, answer: Answer) -> None:
    """All of `answer`, to its end.

    Raises:
        EngineFailed: the pod broke off; what was passed on so far is to end with this error.
        ClientGone: the client takes nothing any more.
    """
    exchange.first_byte_at = exchange.elapsed
    exchange.tokens = answer.tokens
    try:
        if answer.is_events:
            await _events(exchange, answer)
        elif exchange.streaming:
            await _error_events(exchange, answer)
        else:
            await _bytes(exchange, answer)
    except BrokenOff as error:
        raise EngineFailed(f"the pod of {exchange.model_id} broke off in the middle of its answer") from error


async def _bytes(exchange: Exchange, answer: Answer) -> None:
    exchange.start(answer.status, answer.headers)
    chunk = answer.first
    while not answer.complete:
        await exchange.write(chunk, more=True)
        chunk = await answer.read()
    await exchange.write(chunk, more=False)


async def _events(exchange: Exchange, answer: Answer) -> None:
    if not exchange.streaming:
        exchange.streaming = True
        # Of unknown length here: an error event may have to follow.
        headers = [header for header in answer.headers if header[0] != b"content-length"]
        exchange.start(answer.status, headers)
    whole = sse.WholeEvents()
    chunk = answer.first
    while not answer.complete:
        if events := _without_tokens(exchange, whole.feed(chunk)):
            await exchange.write(events, more=True)
        chunk = await answer.read()
    await exchange.write(_without_tokens(exchange, whole.feed(chunk)) + whole.rest(), more=False)


def _without_tokens(exchange: Exchange, events: bytes) -> bytes:
    """What the client gets of `events`; the pod's account of its tokens is for the log."""
    events, tokens = sse.split_tokens(events)
    exchange.tokens = tokens or exchange.tokens
    return events


async def _error_events(exchange: Exchange, answer: Answer) -> None:
    """The stream has begun already, so an error of the pod can only be an event."""
    body = await answer.read_error()
    try:
        error = json.loads(body)
    except ValueError:
        raise EngineFailed(f"the pod of {exchange.model_id} answered {answer.status}") from None
    exchange.aborted = f"status {answer.status}"
    await exchange.write(sse.error_events(error), more=False)
