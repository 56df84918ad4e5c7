"""Models in a cache, as fetches of some days ago left them."""

import os
import time
from pathlib import Path

from hfmodel_runtime.fetch.cache import (
    MARKER,
    Entry,
    commit_entry,
    download_directory,
    publish,
    trash_of,
    write_ref,
)
from hfmodel_runtime.fetch.keep import KeepList, Kept
from support.model_files import safetensors, tiny_model

COMMITS = tuple(digit * 40 for digit in "0123456789abcdef")
DAY = 86_400.0


def cached(
    root: Path, model: str, *, size: int = 1000, days: float = 0, commit: str = COMMITS[0], branch: str | None = None
) -> Entry:
    """A published commit, with weights of `size` bytes, last used `days` ago."""
    entry = commit_entry(root, model=model, commit=commit, code=False)
    publish(entry, _download(entry, size), origin={"model": model})
    entry.staging.rmdir()
    if branch is not None:
        write_ref(root, model=model, revision=branch, endpoint=None, commit=commit)
    _age(entry.target / MARKER, days)
    return entry


def interrupted(root: Path, model: str, *, size: int = 1000, days: float = 0, commit: str = COMMITS[0]) -> Entry:
    """A download that was cut off `days` ago."""
    entry = commit_entry(root, model=model, commit=commit, code=False)
    _download(entry, size)
    for path in (entry.staging, *entry.staging.rglob("*")):
        _age(path, days)
    return entry


def left_over(root: Path, model: str, *, size: int = 1000, commit: str = COMMITS[0]) -> Entry:
    """A deletion that was cut off."""
    entry = interrupted(root, model, size=size, commit=commit)
    entry.staging.rename(trash_of(entry))
    return entry


def keeping(keeper: str, *kept: Kept) -> KeepList:
    return KeepList(keeper=keeper, as_of=time.time(), kept=frozenset(kept))


def _download(entry: Entry, size: int) -> Path:
    directory = download_directory(entry)
    directory.mkdir(parents=True)
    for name, content in tiny_model(**{"model.safetensors": safetensors(size)}).items():
        (directory / name).write_bytes(content)
    return directory


def _age(path: Path, days: float) -> None:
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
