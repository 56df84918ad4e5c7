"""What is worth another try, and what a broken connection says."""

import ssl

import httpx2
import pytest

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.hub_errors import hub_failure, is_transient
from hfmodel_runtime.fetch.request import HubSource

SOURCE = HubSource(model="a/b", endpoint="https://proxied")


def refused_certificate() -> httpx2.ConnectError:
    """As it arrives: each layer of the client has wrapped it."""
    try:
        try:
            raise ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
        except OSError as cause:
            raise ConnectionError(str(cause)) from cause
    except ConnectionError as cause:
        error = httpx2.ConnectError(str(cause))
        error.__cause__ = cause
        return error


def test_a_certificate_that_is_refused_is_not_tried_again() -> None:
    error = refused_certificate()
    assert not is_transient(error)
    failure = hub_failure(error, SOURCE)
    assert failure is not None
    assert (failure.failure.reason, failure.failure.retryable) == (Reason.HUB_UNREACHABLE, False)
    for text in ("https://proxied", "CERTIFICATE_VERIFY_FAILED", "SSL_CERT_FILE"):
        assert text in failure.failure.message


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        pytest.param(httpx2.ConnectError("refused"), True, id="refused"),
        pytest.param(httpx2.ReadTimeout("silent"), True, id="silent"),
        pytest.param(httpx2.UnsupportedProtocol("ftp"), False, id="protocol"),
    ],
)
def test_a_connection_that_broke_is_tried_again(error: httpx2.HTTPError, transient: bool) -> None:
    assert is_transient(error) is transient
