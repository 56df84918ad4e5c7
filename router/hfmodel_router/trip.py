"""What a request for a model is, read off its path, headers and body; and what it met on its way so far."""

import math
from dataclasses import dataclass

from pydantic import ValidationError

from hfmodel_api.errors import InvalidRequest
from hfmodel_api.names import HEADER_HOLD_TIMEOUT, HEADER_REQUEST_ID, HEADER_TOKENS
from hfmodel_api.requests import parse_request
from hfmodel_router import catalogue
from hfmodel_router.calls import Addressed, Call, CallKind
from hfmodel_router.catalogue import Catalogue
from hfmodel_router.cors import Headers
from hfmodel_router.exchange import Exchange
from hfmodel_router.fleet import ModelState

_REQUEST_ID = HEADER_REQUEST_ID.encode()
_TOKENS = HEADER_TOKENS.encode()


@dataclass(slots=True, kw_only=True)
class Trip:
    """One request on its way. Times are the event loop's clock."""

    kind: CallKind
    model_id: str
    body: bytes
    headers: Headers  # for the pod
    hold_timeout: float  # seconds that it may be held, all in all, as the caller asked
    deadline: float = 0.0  # of the hold that is under way
    deaths: int = 0  # attempts that broke before the answer began
    not_before: float = 0.0  # the pods were full: let them work until then
    next_heartbeat: float = math.inf


def begin_trip(exchange: Exchange, call: Call, body: bytes, *, models: Catalogue, hold_timeout: float) -> Trip:
    """Raises ModelNotFound, or InvalidRequest where the body does not even say which model it is for."""
    model_id = _addressee(call, body, models).model.id
    exchange.model_id = model_id
    return Trip(
        kind=call.kind,
        model_id=model_id,
        body=body,
        headers=_upstream_headers(exchange),
        hold_timeout=hold_timeout,
    )


def asked_hold_timeout(exchange: Exchange, *, limit: float) -> float:
    """How long the caller is willing to be held, in seconds, at most `limit`."""
    text = exchange.headers.get(HEADER_HOLD_TIMEOUT.encode())
    if text is None:
        return limit
    try:
        asked = float(text)
    except ValueError:
        asked = math.nan
    if not asked >= 0:
        raise InvalidRequest(
            f"{HEADER_HOLD_TIMEOUT}: must be a number of seconds, 0 or more", param=HEADER_HOLD_TIMEOUT
        )
    return min(asked, limit)


def _addressee(call: Call, body: bytes, models: Catalogue) -> ModelState:
    if call.model_id is not None:
        return catalogue.by_id(models, call.model_id)
    if call.kind.default_type is not None:
        return catalogue.first_of_type(models, call.kind.default_type)
    try:
        name = Addressed.model_validate_json(body).model
    except ValidationError:
        # The whole body's errors say more than those of one field.
        parse_request(call.kind.body, body)
        raise InvalidRequest("model: must be a string", param="model") from None
    return catalogue.by_name(models, name)


def _upstream_headers(exchange: Exchange) -> Headers:
    """What a pod gets to see: no key, no cookie, nothing that belongs to the caller's connection."""
    given = exchange.headers
    return [
        (b"content-type", _one_line(given.get(b"content-type"), b"application/json")),
        (b"accept", _one_line(given.get(b"accept"), b"*/*")),
        (_REQUEST_ID, exchange.request_id.encode()),
        (_TOKENS, b"1"),
    ]


def _one_line(given: bytes | None, default: bytes) -> bytes:
    return default if given is None or b"\n" in given or b"\r" in given else given
