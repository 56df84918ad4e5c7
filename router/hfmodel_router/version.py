"""The version of this distribution."""

import functools
from importlib import metadata


@functools.cache
def version() -> str:
    try:
        return metadata.version("hfmodel")
    except metadata.PackageNotFoundError:
        return "unknown"
