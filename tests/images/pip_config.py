"""How pip is configured on this machine, so that a build can be given the same.

A machine may take packages from a mirror, a folder or through a proxy, and trust a certificate of its own. That belongs
to neither image nor Dockerfile.
"""

import ast
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

# Where packages come from and how to get there; the rest of a user's configuration is not for a build.
_OPTIONS: Final = (
    "cert",
    "client-cert",
    "default-timeout",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)
_SECTIONS: Final = ("global", "install", ":env:")  # a later one wins


@dataclass(frozen=True, slots=True)
class PipConfig:
    """Options by name, as `pip install` would take them."""

    options: Mapping[str, str]

    def text(self) -> str:
        """The same as a pip.conf."""
        lines = (f"{name} = {' '.join(value.split())}" for name, value in sorted(self.options.items()))
        return "\n".join(("[global]", *lines, ""))

    def local_paths(self) -> list[Path]:
        """The files and folders of this machine that it names, sorted."""
        words = {name: self.options.get(name, "").split() for name in _OPTIONS}
        paths = [Path(word) for word in words["cert"] + words["client-cert"]]
        paths += filter(None, map(_local, words["find-links"]))
        # An index in a folder refers to files beside it.
        paths += [path.parent for path in map(_local, words["index-url"] + words["extra-index-url"]) if path]
        existing = {path for path in paths if path.is_absolute() and path.exists()}
        return sorted(path for path in existing if existing.isdisjoint(path.parents))


def parse_listing(listing: str) -> PipConfig:
    """From what `pip config list` prints: lines such as `global.index-url='https://...'`."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listing.splitlines():
        key, equals, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if equals and section in found and name in _OPTIONS:
            found[section][name] = str(ast.literal_eval(value))
    return PipConfig({name: value for section in _SECTIONS for name, value in found[section].items() if value})


def machines_pip_config() -> PipConfig:
    """Of files and environment together."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return parse_listing(done.stdout)


def _local(location: str) -> Path | None:
    """The path that an address or a path means on this machine."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if parts.scheme else Path(location)
