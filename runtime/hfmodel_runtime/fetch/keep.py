"""What must stay in a cache that several parties share: each says it in a list of its own, in the cache.

keepers/<keeper>/<as of>.json    what one installation names or runs, as it was at that time by its own clock

A list is written by every fetch of its keeper, before that looks for anything. It is replaced by newer ones, never
merged: a fetch that was asked for long ago and runs late takes nothing away from what a later one said. Lists stay
until somebody drops the keeper, since only the keeper knows what it still names.
"""

import json
import logging
import math
import re
import shutil
import uuid
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from hfmodel_runtime.fetch.cache import Entry, repo_folder

logger = logging.getLogger(__name__)

_FOLDER = "keepers"
_COMMIT = re.compile(r"[0-9a-f]{40}(-code)?")
# Another replica of a keeper may have a clock that is behind: lists that are about as old as the newest count too.
_SKEW_SECONDS = 300.0
_STAMP_DIGITS = 14
_LONGEST_NAME = 250  # bytes; of a folder


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that must stay: a commit of a repository (or a local conversion), or all there is of it."""

    name: str  # folder under models/
    key: str | None = None  # None: all

    def covers(self, entry: Entry) -> bool:
        plain = entry.key.removesuffix("-code")
        return self.name == entry.name and (self.key is None or self.key.removesuffix("-code") == plain)

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepList:
    """All that `keeper` names or runs."""

    keeper: str
    as_of: float  # seconds since the epoch
    kept: frozenset[Kept] | None  # None: it cannot be read, so everything stays

    def covers(self, entry: Entry) -> bool:
        return self.kept is None or any(kept.covers(entry) for kept in self.kept)


def parse_kept(text: str, *, root: Path) -> Kept | None:
    """`REPO@COMMIT`, `REPO` (all its commits, as for a revision that is not a commit), or a path that a fetch printed.

    None: a path outside the cache, where a model is served in its place.

    Raises:
        ValueError: it is none of them.
    """
    if text.startswith("/"):
        path = Path(text)
        if not path.is_relative_to(root):
            return None
        if path.parent.parent != root / "models":
            raise ValueError(f"{text} is not a model directory of the cache {root}")
        return Kept(path.parent.name, path.name)
    repo, _, revision = text.partition("@")
    if not repo or any(character.isspace() for character in text):
        raise ValueError(f"{text!r} is not REPO, REPO@COMMIT or the path of a model directory")
    return Kept(repo_folder(repo), revision if _COMMIT.fullmatch(revision) else None)


def write_keep_list(root: Path, keep: KeepList) -> None:
    """Say what must stay; older lists of the same keeper go. Raises OSError: the cache cannot be written."""
    folder = _folder(root, keep.keeper)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_stamp(keep.as_of)}.json"
    temporary = folder / f".{uuid.uuid4().hex}"
    content = {"keeper": keep.keeper, "as_of": keep.as_of, "keep": sorted(map(str, keep.kept or ()))}
    try:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    for outdated in _files(folder)[len(_that_count(folder)) :]:
        outdated.unlink(missing_ok=True)


def keep_lists(root: Path) -> list[KeepList]:
    """What every keeper says; several lists of one keeper all count."""
    try:
        folders = sorted(path for path in (root / _FOLDER).iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [_read(path) for folder in folders for path in _that_count(folder)]


def drop_keeper(root: Path, keeper: str) -> None:
    """Forget what `keeper` said. Raises OSError, FileNotFoundError: there is no such keeper."""
    shutil.rmtree(_folder(root, keeper))


def keepers_of(entry: Entry, lists: Iterable[KeepList]) -> tuple[str, ...]:
    """Who keeps `entry`, by name."""
    return tuple(sorted({each.keeper for each in lists if each.covers(entry)}))


def covered(entry: Entry, lists: Collection[KeepList]) -> bool:
    return any(each.covers(entry) for each in lists)


def check_keeper(name: str) -> str:
    """`name`, if it can be a keeper's. Raises ValueError."""
    if len(_quoted(name)) > _LONGEST_NAME:
        raise ValueError(f"{name!r} is too long for a name")
    return name


def _folder(root: Path, keeper: str) -> Path:
    return root / _FOLDER / _quoted(keeper)


def _quoted(keeper: str) -> str:
    # No dots: `..` is a name too.
    return quote(keeper, safe="").replace(".", "%2E")


def _stamp(as_of: float) -> str:
    # In milliseconds and of one length: names sort as the times do.
    return f"{max(0, math.floor(as_of * 1000)):0{_STAMP_DIGITS}}"


def _files(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((path for path in folder.glob("*.json") if path.stem.isdecimal()), reverse=True)


def _that_count(folder: Path) -> list[Path]:
    files = _files(folder)
    return [path for path in files if int(files[0].stem) - int(path.stem) <= _SKEW_SECONDS * 1000]


def _read(path: Path) -> KeepList:
    keeper, as_of = unquote(path.parent.name), int(path.stem) / 1000
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["keep"]
        kept = frozenset(Kept(name, key or None) for name, _, key in (str(each).partition("/") for each in names))
    except FileNotFoundError:
        # A newer one has replaced it just now, and whoever looks next sees that.
        return _read_newer(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("keep list unreadable, everything stays path=%s error=%r", path, error)
        return KeepList(keeper=keeper, as_of=as_of, kept=None)
    return KeepList(keeper=keeper, as_of=as_of, kept=kept)


def _read_newer(path: Path) -> KeepList:
    newer = [other for other in _files(path.parent) if other.stem > path.stem]
    return _read(newer[0]) if newer else KeepList(keeper=unquote(path.parent.name), as_of=0.0, kept=frozenset())
