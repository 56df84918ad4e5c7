"""What can go wrong between the router and the API server.

hfmodel_api.errors.HFModelError
├── NoCluster               no usable way to a cluster is configured
└── ApiError                a call to the API server failed
    ├── Unavailable         no answer, or one that says to try again: connection loss, 5xx, 429
    ├── Expired             410, or a broken stream: the version cannot be gone on from; list again
    ├── Absent              404
    └── Rejected            any other refusal, such as 403: only a person can help
hfmodel_api.errors.RequestError
└── ClusterUnavailable      503     a REST call needed the API server, and it did not take the change
"""

from http import HTTPStatus

from hfmodel_api.errors import HFModelError, RequestError


class NoCluster(HFModelError):
    """No usable way to a cluster is configured; the text says what was looked at."""


class ApiError(HFModelError):
    """A call to the API server failed."""


class Unavailable(ApiError):
    """The same call may succeed later."""


class Expired(ApiError):
    """The resource version cannot be gone on from, most often because it is too old."""


class Absent(ApiError):
    """There is no such object (or no such kind of object)."""


class Rejected(ApiError):
    """The API server understood the call and refuses it."""


class ClusterUnavailable(RequestError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "cluster_unavailable"


def api_error(status: int, message: str) -> ApiError:
    """The error that an answer with this status is."""
    text = f"the API server answered {status}: {message}"
    match status:
        case HTTPStatus.GONE:
            return Expired(text)
        case HTTPStatus.NOT_FOUND:
            return Absent(text)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Unavailable(text)
    return Unavailable(text) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Rejected(text)
