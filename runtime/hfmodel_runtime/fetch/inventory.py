"""What a cache holds. Looks, and changes nothing."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hfmodel_runtime.fetch.cache import MARKER, TRASH, Entry, published_bytes

RESERVED = "reserved"
_KEY = r"[0-9a-f]{40}(?:-code)?|[0-9a-f]{16}"
_IS_KEY = re.compile(_KEY)
_STAGING = re.compile(rf"(?P<name>.+)--(?P<key>{_KEY})(?P<trash>\.[0-9a-f]{{8}}{re.escape(TRASH)})?")


class State(StrEnum):
    PUBLISHED = "published"
    DAMAGED = "damaged"  # published once; files are missing or of another size now. Never served
    STAGING = "staging"  # on its way, or cut off: the next fetch of it goes on
    TRASH = "trash"  # its deletion was cut off, or never began


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One directory of the cache."""

    entry: Entry
    path: Path
    state: State
    used_at: float  # seconds since the epoch; of staging: when the last byte came
    files: Mapping[tuple[int, int], int] = field(default_factory=dict)  # bytes by device and inode: links count once
    model: str = ""
    branches: tuple[str, ...] = ()
    reserved: int = 0  # bytes that a fetch wants in staging, all in all

    @property
    def bytes(self) -> int:
        return sum(self.files.values())


def total_bytes(items: Iterable[Item]) -> int:
    """What `items` take on the volume; of staging, what has been reserved for it where that is more."""
    files: dict[tuple[int, int], int] = {}
    to_come = 0
    for item in items:
        files.update(item.files)
        to_come += max(0, item.reserved - item.bytes)
    return sum(files.values()) + to_come


def items(root: Path) -> list[Item]:
    """All there is, oldest first. Directories that no fetch has made are not ours and left out.

    Raises:
        OSError: the cache cannot be read; not if it is not there, then there is nothing in it.
    """
    branches = _branches(root)
    found = [item for name in _names(root / "models") for item in _published(root, name, branches)]
    found += [item for name in _names(root / "staging") if (item := _staged(root, name)) is not None]
    return sorted(found, key=lambda item: (item.used_at, str(item.path)))


def last_use(path: Path, state: State) -> float | None:
    """`Item.used_at` of what is at `path` now; None if nothing is."""
    if state in (State.STAGING, State.TRASH):
        return _files(path)[1] or None
    try:
        return (path / MARKER).stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


def _published(root: Path, name: str, branches: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[Item]:
    for key in _names(root / "models" / name):
        if _IS_KEY.fullmatch(key) and (item := _published_item(Entry(root, name, key), branches)) is not None:
            yield item


def _published_item(entry: Entry, branches: Mapping[tuple[str, str], tuple[str, ...]]) -> Item | None:
    damaged = published_bytes(entry.target) is None
    if (used_at := last_use(entry.target, State.PUBLISHED)) is None:
        return None
    model = _json(entry.target / MARKER).get("model")
    local = entry.name.startswith("local--")
    return Item(
        entry=entry,
        path=entry.target,
        state=State.DAMAGED if damaged else State.PUBLISHED,
        used_at=used_at,
        files=_files(entry.target)[0],
        model=model if isinstance(model, str) and not local else entry.name,
        branches=branches.get((entry.name, entry.key.removesuffix("-code")), ()),
    )


def _staged(root: Path, name: str) -> Item | None:
    path, matched = root / "staging" / name, _STAGING.fullmatch(name)
    if matched is None:
        return None
    files, newest = _files(path)
    entry = Entry(root, matched["name"], matched["key"])
    # Beside what is published it is what somebody who was killed then did not get to delete: nobody goes on with it.
    trash = bool(matched["trash"]) or published_bytes(entry.target) is not None
    return Item(
        entry=entry,
        path=path,
        state=State.TRASH if trash else State.STAGING,
        used_at=newest,
        files=files,
        model=matched["name"].replace("--", "/", 1) if not matched["name"].startswith("local--") else matched["name"],
        reserved=0 if trash else reserved_bytes(path),
    )


def reserved_bytes(staging: Path) -> int:
    """What a fetch has said that it wants in this directory, all in all."""
    try:
        return int((staging / RESERVED).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _branches(root: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """What points where, by folder and commit."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for folder in _names(root / "refs"):
        for name in _names(root / "refs" / folder):
            commit = _json(root / "refs" / folder / name).get("commit")
            if name.endswith(".json") and isinstance(commit, str):
                found[folder, commit] = (*found.get((folder, commit), ()), unquote(name.removesuffix(".json")))
    return found


def _names(directory: Path) -> list[str]:
    try:
        return sorted(path.name for path in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _files(directory: Path) -> tuple[dict[tuple[int, int], int], float]:
    """The files below, and the latest time of any of them or of a directory; what goes meanwhile is passed over."""
    files, newest = {}, 0.0
    for folder, _, names in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118 - os.walk has texts
            try:
                stat = os.lstat(path)
            except FileNotFoundError:
                continue
            newest = max(newest, stat.st_mtime)
            if path != folder:
                files[stat.st_dev, stat.st_ino] = stat.st_size
    return files, newest
