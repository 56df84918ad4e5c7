"""How long the Hub itself asks to wait before the next call. No I/O."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from huggingface_hub.errors import HfHubHTTPError

# Exported on first use, which type checkers do not see.
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

_ASKS_TO_WAIT = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


def asked_seconds(error: Exception, *, now: datetime) -> float | None:
    """By a 429 or 503: until its rate limit starts anew, else its Retry-After. None where it asks for nothing."""
    if not isinstance(error, HfHubHTTPError) or error.response.status_code not in _ASKS_TO_WAIT:
        return None
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    return _retry_after(headers, now)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, or a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())
