"""The id that follows a request through router, pod and logs."""

import re
import secrets
from collections.abc import Iterable

from hfmodel_api.names import HEADER_REQUEST_ID

_ACCEPTED = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_NAME = HEADER_REQUEST_ID.encode()


def request_id(given: bytes | None) -> str:
    """The caller's own id where it is harmless in a log line and a header, else a new one."""
    if given is not None and _ACCEPTED.fullmatch(given):
        return given.decode("ascii")
    return secrets.token_hex(16)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """That of a request with these headers, names in lower case."""
    return request_id(next((value for name, value in headers if name == _NAME), None))
