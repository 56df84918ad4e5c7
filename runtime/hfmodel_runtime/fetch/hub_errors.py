"""What the Hub's answers mean for the person who waits for the model."""

import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.request import HubSource

_TRANSIENT_STATUS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_SAID_LENGTH = 60  # of what a server says of itself
_TOKEN_HINT = "(HF_TOKEN; in a manifest spec.tokenSecretRef)"  # noqa: S105 - the name of a setting


def is_transient(error: Exception) -> bool:
    """The same call may succeed in a moment."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status in _TRANSIENT_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, httpx2.UnsupportedProtocol) or _refused_certificate(error):
        return False
    return isinstance(error, httpx2.TransportError)


def hub_failure(error: Exception, source: HubSource) -> FetchFailure | None:
    """The failure behind an exception of huggingface_hub or its HTTP client; None for any other exception."""
    match error:
        case HFValidationError():
            return FetchFailure(Reason.REPO_NOT_FOUND, f"{source.model!r} is not a repository id: {error}")
        case OfflineModeIsEnabled():
            message = f"{source.model} at {source.revision!r} cannot be asked for: HF_HUB_OFFLINE is set"
            return FetchFailure(Reason.HUB_UNREACHABLE, message)
        case HfHubHTTPError():
            return _answered(error, source)
        case httpx2.HTTPError() | httpx2.InvalidURL():
            message = f"cannot reach {_endpoint(source)} for {source.model}: {_text(error)}"
            if _refused_certificate(error):
                message += ". Check the clock; a proxy that looks into TLS needs its certificate in SSL_CERT_FILE"
            return FetchFailure(Reason.HUB_UNREACHABLE, message, retryable=is_transient(error))
    return None


def _answered(error: HfHubHTTPError, source: HubSource) -> FetchFailure:
    status = error.response.status_code
    if status == HTTPStatus.UNAUTHORIZED and source.token is not None:
        # With a valid token the Hub answers 403 or 404, whatever the repository.
        return _failure(Reason.TOKEN_INVALID, f"the Hugging Face token {_TOKEN_HINT} is not valid, or has expired")
    match error:
        # GatedRepoError is a RepositoryNotFoundError: it has to come first.
        case GatedRepoError():
            return _gated(source)
        case RevisionNotFoundError():
            return _failure(Reason.REVISION_NOT_FOUND, f"{source.model} has no revision {source.revision!r}")
        case DisabledRepoError():
            return _failure(Reason.REPO_NOT_FOUND, f"{source.model} has been disabled; see {_page(source)}")
        case RemoteEntryNotFoundError():
            file = urlsplit(str(error.response.url)).path
            message = f"{_endpoint(source)} lists {file} of {source.model}, but does not have it"
            return FetchFailure(Reason.HUB_UNREACHABLE, message, retryable=True)
        case RepositoryNotFoundError():
            return _not_found(source)
    return _by_status(error, source)


def _by_status(error: HfHubHTTPError, source: HubSource) -> FetchFailure:
    status = error.response.status_code
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
        return _not_found(source)
    if status == HTTPStatus.FORBIDDEN:
        return _gated(source) if _is_the_hubs(error) else _forbidden_by_another(error, source)
    message = f"{_endpoint(source)} answered {status} for {source.model}"
    return FetchFailure(Reason.HUB_UNREACHABLE, message, retryable=is_transient(error))


def _is_the_hubs(error: HfHubHTTPError) -> bool:
    """The Hub says what it refuses, in these headers; whoever stands between does not."""
    return any(error.response.headers.get(name) for name in ("x-error-code", "x-error-message"))


def _forbidden_by_another(error: HfHubHTTPError, source: HubSource) -> FetchFailure:
    response = error.response
    said = response.headers.get("server") or response.headers.get("via") or ""
    who = f"{response.url.host} ({said[:_SAID_LENGTH]})" if said else response.url.host
    message = (
        f"{who} answered 403 for {source.model}, and not as the Hub does: a proxy, a firewall or a CDN on the way to "
        f"{_endpoint(source)} refuses it; ask whoever runs it"
    )
    return _failure(Reason.HUB_UNREACHABLE, message)


def _refused_certificate(error: BaseException) -> bool:
    """TLS was refused here, because of the certificate: it will be the same one the next time."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _gated(source: HubSource) -> FetchFailure:
    if source.token is None:
        message = f"{source.model} is gated: ask for access at {_page(source)}, then give a token {_TOKEN_HINT}"
        return _failure(Reason.GATED_NO_TOKEN, message)
    message = (
        f"the account of the given token {_TOKEN_HINT} has no access to {source.model}: ask for it at {_page(source)}; "
        "a fine-grained token also needs the right to read gated repositories"
    )
    return _failure(Reason.GATED_NO_ACCESS, message)


def _not_found(source: HubSource) -> FetchFailure:
    if source.token is None:
        hint = f"check the name; if it is private, give a token {_TOKEN_HINT}"
    else:
        hint = "check the name, and that the token's account may read it"
    return _failure(Reason.REPO_NOT_FOUND, f"there is no repository {source.model} at {_endpoint(source)}: {hint}")


def _failure(reason: Reason, message: str) -> FetchFailure:
    return FetchFailure(reason, message)


def _page(source: HubSource) -> str:
    # Access is asked for at the Hub, also by those who download from a mirror.
    return f"https://huggingface.co/{source.model}"


def _endpoint(source: HubSource) -> str:
    return source.endpoint or constants.ENDPOINT


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
