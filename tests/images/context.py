"""What a build reads of the repository, and a digest of it: the same digest, the same image."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from cluster.errors import ClusterError

_IGNORE = ".dockerignore"


def context_files(repository: Path) -> list[Path]:
    """The files that .dockerignore lets into the build, sorted.

    Raises:
        ClusterError: .dockerignore is not of the form that this reads: everything out, then some paths in.
    """
    lines = [line for line in (repository / _IGNORE).read_text().splitlines() if line and not line.startswith("#")]
    if lines[:1] != ["*"] or any("*" in line for line in lines if line.startswith("!")):
        raise ClusterError(f"{repository / _IGNORE} must begin with * and then let in plain paths: !path")
    admitted = [repository / line.removeprefix("!") for line in lines if line.startswith("!")]
    return sorted(file for path in admitted for file in _files(path) if not _is_bytecode(file))


def context_digest(repository: Path, *, dockerfile: str, arguments: Mapping[str, str]) -> str:
    """A digest of all that makes an image, but for what pip finds on the day: hexadecimal, 16 characters."""
    digest = hashlib.sha256(repr(sorted(arguments.items())).encode())
    for file in (repository / dockerfile, repository / _IGNORE, *context_files(repository)):
        mode = "x" if file.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(repository)} {mode} {content}\n".encode())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    return iter([path]) if path.is_file() else (found for found in path.rglob("*") if found.is_file())


def _is_bytecode(file: Path) -> bool:
    return file.suffix == ".pyc" or "__pycache__" in file.parts
