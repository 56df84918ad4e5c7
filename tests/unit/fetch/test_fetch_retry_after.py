"""What the Hub asks for when it is busy, read off its answers."""

from datetime import UTC, datetime

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from hfmodel_runtime.fetch.retry_after import asked_seconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(429, {"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param(503, {"retry-after": "7"}, 7.0, id="seconds-while-down"),
        pytest.param(503, {"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0, id="a-date"),
        pytest.param(503, {"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0, id="a-date-that-is-past"),
        pytest.param(429, {"ratelimit": '"api";r=0;t=55', "retry-after": "7"}, 55.0, id="a-rate-limit"),
        pytest.param(429, {"ratelimit": '"api";r=3;t=55', "retry-after": "7"}, 7.0, id="a-rate-limit-not-reached"),
        pytest.param(429, {}, None, id="nothing"),
        pytest.param(429, {"retry-after": "soon"}, None, id="garbage"),
        pytest.param(429, {"retry-after": "-5"}, None, id="a-negative-number"),
        pytest.param(500, {"retry-after": "7"}, None, id="another-status"),
    ],
)
def test_how_long_to_wait(status: int, headers: dict[str, str], seconds: float | None) -> None:
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("GET", "http://hub"))
    assert asked_seconds(HfHubHTTPError("busy", response=response), now=NOW) == seconds


def test_a_cut_connection_asks_for_nothing() -> None:
    assert asked_seconds(httpx2.ReadError("cut"), now=NOW) is None
