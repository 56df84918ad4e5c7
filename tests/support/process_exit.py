"""Waiting for the end of a process that is not our child."""

import os
import select


def wait_for_exit(pid: int, *, seconds: float = 10.0) -> bool:
    """Whether the process `pid`, of any parent, is gone within `seconds`."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)
