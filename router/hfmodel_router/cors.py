"""Calls from web pages of other origins (CORS)."""

from collections.abc import Mapping

from hfmodel_api.names import HEADER_HELD_SECONDS, HEADER_REQUEST_ID, HEADER_RETRIES

Headers = list[tuple[bytes, bytes]]

_EXPOSED = f"{HEADER_REQUEST_ID}, {HEADER_HELD_SECONDS}, {HEADER_RETRIES}, retry-after".encode()
_METHODS = b"GET, POST, OPTIONS"
_DEFAULT_REQUEST_HEADERS = b"authorization, content-type, x-api-key, x-request-id, x-hfmodel-hold-timeout"
_MAX_AGE = b"600"  # seconds a browser may remember a preflight


class Cors:
    """Which origins may call. Credentials go with named origins only, never with `*`."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._named = frozenset(origin.rstrip("/").encode() for origin in origins if origin != "*")
        self._anyone = "*" in origins

    def headers(self, request: Mapping[bytes, bytes]) -> Headers:
        """What every answer to `request` carries, errors included."""
        origin = request.get(b"origin")
        answer: Headers = [(b"vary", b"Origin")] if self._named else []
        if origin is not None and origin in self._named:
            answer += [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]
        elif origin is not None and self._anyone:
            answer.append((b"access-control-allow-origin", b"*"))
        else:
            return answer
        return [*answer, (b"access-control-expose-headers", _EXPOSED)]

    def preflight(self, method: str, request: Mapping[bytes, bytes]) -> Headers | None:
        """The answer to a preflight, beyond `headers`; None where the request is not one that is allowed."""
        if method != "OPTIONS" or b"access-control-request-method" not in request:
            return None
        if not any(name == b"access-control-allow-origin" for name, _ in self.headers(request)):
            return None
        asked = request.get(b"access-control-request-headers", _DEFAULT_REQUEST_HEADERS)
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", _MAX_AGE),
        ]
