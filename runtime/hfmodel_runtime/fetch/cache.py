"""The layout of the cache, and how a model directory appears in it: whole or not at all.

models/<org>--<name>/<commit>[-code]/    published, never changed; `-code` also holds the repository's *.py
models/local--<name>/<hash>/             converted from a local path, keyed by what it was made of
staging/<org>--<name>--<commit>/         on its way; the next fetch goes on from here
staging/<...>.<random>.trash/            on its way out; the next one who collects deletes it
locks/                                   one downloader per commit; the kernel frees a dead one's lock
refs/<org>--<name>/<revision>.json       what a branch was resolved to last (of local files: their hash)
keepers/                                 what must stay, see `keep`

The time of the marker in a published directory is when it was last used: when a fetch last answered with it, or a
keeper last named it. Servers may mount the cache read-only and leave no trace in it.
"""

import json
import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hfmodel_runtime.fetch.request import Fetched
from hfmodel_runtime.fetch.sizes import tree_bytes

logger = logging.getLogger(__name__)

MARKER = ".hfmodel.json"
PARTIAL = ".partial"  # after the name of a file that is still arriving
TRASH = ".trash"
_FORMAT = 1
_DIGEST_LENGTH = 16
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of one commit (or one local conversion) in the cache."""

    root: Path
    name: str  # folder under models/
    key: str  # commit or content hash

    @property
    def target(self) -> Path:
        return self.root / "models" / self.name / self.key

    @property
    def staging(self) -> Path:
        return self.root / "staging" / f"{self.name}--{self.key}"

    @property
    def lock(self) -> Path:
        return self.root / "locks" / f"{self.name}--{self.key}.lock"


def commit_entry(root: Path, *, model: str, commit: str, code: bool) -> Entry:
    """Where a commit of a repository is; one that came with its *.py is another directory than one without."""
    return Entry(root, repo_folder(model), f"{commit}-code" if code else commit)


def local_entry(root: Path, *, name: str, digest: str) -> Entry:
    """Where the conversion of local files is; `digest` is of their content."""
    return Entry(root, f"local--{_NOT_A_NAME.sub('-', name)}", digest[:_DIGEST_LENGTH])


def published(entry: Entry, *, revision: str | None) -> Fetched | None:
    """`entry` as the answer of a fetch, if it is published. Counts as a use, before it looks: see `collect`."""
    touch(entry.target)
    size = published_bytes(entry.target)
    return None if size is None else Fetched(path=entry.target, revision=revision, bytes=size)


def touch(directory: Path) -> None:
    """A published directory is used now. Best effort: nobody collects in a cache that cannot be written."""
    with suppress(OSError):
        os.utime(directory / MARKER)


def repo_folder(model: str) -> str:
    """The folder of a repository under models/ and refs/."""
    # Repository ids hold no `--`.
    return model.replace("/", "--")


def published_bytes(directory: Path) -> int | None:
    """The size of a published model directory; None if it is not there, not whole, or was damaged since."""
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
        files: dict[str, int] = marker["files"]
        if all((directory / name).stat().st_size == size for name, size in files.items()):
            return sum(files.values())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.warning("cache marker unreadable path=%s", directory)
        return None
    logger.warning("cache entry damaged path=%s", directory)
    return None


def published_commits(root: Path, *, model: str) -> list[str]:
    """Those of a repository that are published, without its code."""
    try:
        entries = sorted((root / "models" / repo_folder(model)).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path.name for path in entries if "-" not in path.name and published_bytes(path) is not None]


def publish(entry: Entry, directory: Path, *, origin: Mapping[str, str | None]) -> int:
    """Make `directory` (complete, on the same volume) the published one of `entry`; returns its size in bytes.

    `origin` goes into the marker, for people. Whoever publishes the same entry at the same moment wins or loses without
    harm: both have the same bytes.
    """
    files = {str(path.relative_to(directory)): path for path in sorted(_files(directory)) if _is_model_file(path)}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    _make_readable(directory)
    marker = _mark(directory, {"format": _FORMAT, **origin, "files": sizes})
    for path in (*files.values(), marker, *_directories(directory)):
        fsync(path)
    entry.target.parent.mkdir(parents=True, exist_ok=True)
    _rename_into_place(directory, entry)
    fsync(entry.target.parent)
    return sum(sizes.values())


def _is_model_file(path: Path) -> bool:
    # What still arrives is another writer's, who is late: it has the rest under its name already.
    return path.name != MARKER and not path.name.endswith(PARTIAL)


def _mark(directory: Path, content: Mapping[str, object]) -> Path:
    """Write the marker beside `directory` and rename it into it.

    Where locks do not work, another publisher may rename the directory away at any moment: the marker that goes with it
    is whole, and one that comes too late finds no directory.
    """
    new = directory.with_name(f"{directory.name}.{uuid.uuid4().hex[:8]}{MARKER}")
    try:
        new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return new.replace(directory / MARKER)
    finally:
        new.unlink(missing_ok=True)


def _rename_into_place(directory: Path, entry: Entry) -> None:
    try:
        directory.rename(entry.target)
    except OSError:
        if published_bytes(entry.target) is not None:
            return  # somebody else was faster
        if not entry.target.exists():
            raise
        # Without a valid marker it is damaged, or not ours: out of the way, and deleted once the new one is in.
        trash = trash_of(entry)
        entry.target.rename(trash)
        directory.rename(entry.target)
        shutil.rmtree(trash, ignore_errors=True)


def trash_of(entry: Entry) -> Path:
    """A new place to rename what is to be deleted to."""
    return entry.staging.with_name(f"{entry.staging.name}.{uuid.uuid4().hex[:8]}{TRASH}")


def discard_staging(entry: Entry) -> None:
    """Remove what publishing left of the staging directory.

    Renamed first: whoever is killed in between leaves trash, which reserves no room and goes before anything else.
    """
    trash = trash_of(entry)
    with suppress(OSError):
        entry.staging.rename(trash)
    for path in (trash, entry.staging):
        shutil.rmtree(path, ignore_errors=True)


def download_directory(entry: Entry) -> Path:
    """Where the files of `entry` arrive, under the names that the source has for them."""
    return entry.staging / "download"


def staged_bytes(entry: Entry) -> int:
    """What has arrived of it."""
    return tree_bytes(download_directory(entry))


def staging_sign(entry: Entry) -> tuple[int, int]:
    """Bytes and latest time of what is in staging: differs from an earlier one if somebody was at work in between."""
    count, newest = 0, 0
    for folder, _, names in os.walk(entry.staging):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            with suppress(FileNotFoundError):
                found = path.lstat()
                count, newest = count + found.st_size, max(newest, found.st_mtime_ns)
    return count, newest


def read_ref(root: Path, *, model: str, revision: str, endpoint: str | None) -> str | None:
    """The commit that `revision` was at when the Hub was last asked; None if it never was."""
    try:
        saved = json.loads(_ref_path(root, model, revision).read_text(encoding="utf-8"))
        return str(saved["commit"]) if saved["endpoint"] == endpoint else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def write_ref(root: Path, *, model: str, revision: str, endpoint: str | None, commit: str) -> None:
    """Remember what `revision` is now. Best effort: a read-only cache serves what it has."""
    path = _ref_path(root, model, revision)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"commit": commit, "endpoint": endpoint}), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        logger.warning("revision not remembered model=%s revision=%s error=%s", model, revision, error.strerror)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _ref_path(root: Path, model: str, revision: str) -> Path:
    return root / "refs" / repo_folder(model) / f"{quote(revision, safe='')}.json"


def fsync(path: Path) -> None:
    """Force a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _directories(directory: Path) -> Iterator[Path]:
    yield from (path for path in directory.rglob("*") if path.is_dir())
    yield directory


def _make_readable(directory: Path) -> None:
    # Some writers make files for the owner alone, but servers run as another user: as readable as the umask allows.
    mask = os.umask(0)
    os.umask(mask)
    for path in (directory, *directory.rglob("*")):
        wanted = (0o777 if path.is_dir() else 0o666) & ~mask
        if stat.S_IMODE(path.stat().st_mode) != wanted:
            path.chmod(wanted)
