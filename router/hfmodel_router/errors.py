"""What can happen to a request between its client and a pod.

hfmodel_api.errors.RequestError
├── UnknownPath             404     no such call
├── MethodNotAllowed        405     the call exists with another method
└── NotUnloadable           409     the fleet cannot let this model go
Exception
├── ClientGone              the caller closed its connection; nobody reads an answer any more
└── AttemptFailed           one pod did not answer; the request can be sent again
    ├── NotStarted          the pod did no work: unreachable, or refused on purpose
    └── Died                it may have worked, but no byte of an answer came
BrokenOff                   the pod broke off after the answer's first byte: too late to send again
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from hfmodel_api.errors import RequestError


class UnknownPath(RequestError):
    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class MethodNotAllowed(RequestError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow

    def headers(self) -> dict[str, str]:
        return {"allow": self.allow}


class NotUnloadable(RequestError):
    status = HTTPStatus.CONFLICT
    code = "not_unloadable"


class ClientGone(Exception):
    """The caller closed its connection."""


class AttemptFailed(Exception):
    """One pod did not answer. `reason` is a word for logs and metrics."""

    reason: ClassVar[str] = "failed"


class NotStarted(AttemptFailed):
    """The pod did no work on the request."""


class Unreachable(NotStarted):
    reason = "unreachable"


class Refused(NotStarted):
    reason = "refused"


class Died(AttemptFailed):
    """The pod took the request and closed the connection before the first byte of an answer."""

    reason = "died"


class BrokenOff(Exception):
    """The pod broke off in the middle of its answer."""


def plain_status_error(status: int, detail: str, *, headers: Mapping[str, str]) -> RequestError:
    """What a web framework reports by status alone, as an error of ours."""
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(detail, allow=headers.get("Allow", ""))
    return UnknownPath(detail)
