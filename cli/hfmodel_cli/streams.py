"""Standard streams that the caller closed (`hfmodel list >&-`, some service managers)."""

import os
import sys
from pathlib import Path


def open_closed_streams() -> None:
    """Put /dev/null where a standard stream is missing: what is printed goes nowhere, and no socket gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as the process lives
