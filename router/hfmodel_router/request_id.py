"""The id that follows a request through router, pod and logs."""

import re
import uuid

_ACCEPTED = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


def request_id(given: bytes | None) -> str:
    """The caller's own id where it is harmless in a log line and a header, else a new one."""
    if given is not None and _ACCEPTED.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
