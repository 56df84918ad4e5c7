"""The error tree, and the one place that maps it to HTTP.

HFModelError                        anything this project raises on purpose
├── InvalidManifest                 a manifest that breaks the schema; carries every field's error
└── RequestError                    a REST call that gets an answer other than 2xx
    ├── InvalidRequest      400     names the field (`param`)
    ├── Unauthorized        401
    ├── ModelNotFound       404
    ├── HeadTimeout         408     the headers did not arrive in time
    ├── BodyTooLarge        413
    ├── Overloaded          429     Retry-After
    ├── HeadTooLarge        431
    ├── ModelFailed         503     the model cannot start; `reason` is a status.Reason
    ├── NotReady            503     loading, draining or retired: nothing was started, send it again elsewhere
    ├── HoldTimeout         504     held until the deadline, the model was not ready in time; Retry-After
    └── EngineFailed        500     the engine broke while it worked on this request
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar


class HFModelError(Exception):
    """Anything this project raises on purpose; its text is meant for the user."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a manifest."""

    path: str  # "spec.scaling.idleTimeout", "spec.env[0].name"
    message: str  # a sentence that says what is allowed

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidManifest(HFModelError):
    """A manifest that breaks the schema. `origin` is the file (and document) it came from, if any."""

    def __init__(self, errors: Sequence[FieldError], *, origin: str = "") -> None:
        self.errors = tuple(errors)
        self.origin = origin
        text = "; ".join(map(str, self.errors))
        super().__init__(f"{origin}: {text}" if origin else text)


class RequestError(HFModelError):
    """A REST call that gets an answer other than 2xx.

    Args:
        message: a sentence for the caller.
        param: the request field at fault, in the caller's own spelling.
        reason: a machine-readable cause beyond the status, such as a `status.Reason`.
        retry_after: seconds after which the same call may succeed.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, *, param: str | None = None, reason: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.reason = reason
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """Extra response headers: Retry-After in whole seconds, at least one, and not less than it takes."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, math.ceil(self.retry_after)))}

    def openai_body(self) -> dict[str, Any]:
        """The error as OpenAI's API shapes it (`/v1/*`)."""
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.reason or self.code}
        return {"error": error}

    def native_body(self) -> dict[str, Any]:
        """The error as the old server shaped it (`detail`), plus what a program can act on."""
        body: dict[str, Any] = {"detail": self.message, "code": self.code}
        if self.param is not None:
            body["param"] = self.param
        if self.reason is not None:
            body["reason"] = self.reason
        return body

    def body(self, path: str) -> dict[str, Any]:
        """The error in the shape the callers of `path` (the request's path) expect."""
        return self.openai_body() if path.startswith("/v1/") else self.native_body()


class InvalidRequest(RequestError):
    status = HTTPStatus.BAD_REQUEST
    code = "invalid_request"


class Unauthorized(RequestError):
    status = HTTPStatus.UNAUTHORIZED
    code = "unauthorized"


class ModelNotFound(RequestError):
    status = HTTPStatus.NOT_FOUND
    code = "model_not_found"


class BodyTooLarge(RequestError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"


class HeadTimeout(RequestError):
    status = HTTPStatus.REQUEST_TIMEOUT
    code = "head_timeout"


class HeadTooLarge(RequestError):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "head_too_large"


class Overloaded(RequestError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "overloaded"


class ModelFailed(RequestError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "model_failed"


class NotReady(RequestError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "not_ready"


class HoldTimeout(RequestError):
    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "hold_timeout"


class EngineFailed(RequestError):
    code = "engine_failed"
