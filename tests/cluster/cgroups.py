"""The control groups of one node: the only thing of it, beside its folder, that does not vanish with its processes."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cluster.errors import ClusterError

MOUNT: Final = Path("/sys/fs/cgroup")
_NEEDED: Final = ("cpu", "cpuacct", "cpuset", "memory", "pids")


@contextmanager
def cgroup_root(name: str, *, mount: Path = MOUNT) -> Iterator[str]:
    """A group of our own in every hierarchy, for the length of the block; yields its path from the hierarchies' roots.

    Raises:
        ClusterError: no usable hierarchy is mounted here, or it may not be written.
    """
    roots = [hierarchy / name for hierarchy in _hierarchies(mount)]
    try:
        for root in roots:
            _make(root)
        yield f"/{name}"
    finally:
        remove_groups(roots)


def groups(prefix: str, *, mount: Path = MOUNT) -> list[Path]:
    """The groups in any hierarchy's root whose name starts with `prefix`."""
    return [path for pattern in (f"{prefix}*", f"*/{prefix}*") for path in mount.glob(pattern) if path.is_dir()]


def remove_groups(roots: Iterable[Path]) -> None:
    """Remove groups with all below them, but those that somebody put a process of their own into."""
    for root in roots:
        for folder, _children, _files in os.walk(root, topdown=False):
            _remove(Path(folder))


def _hierarchies(mount: Path) -> list[Path]:
    """Where groups are made: the one hierarchy of cgroup v2, or each of v1's."""
    if (mount / "cgroup.controllers").exists():
        return [mount]
    missing = [name for name in _NEEDED if not (mount / name).is_dir()]
    if missing:
        raise ClusterError(f"a node needs control groups: {mount} lacks {', '.join(missing)}")
    # cpu and cpuacct may be two names of one hierarchy.
    found = {path.resolve(): None for path in sorted(mount.iterdir()) if (path / "cgroup.procs").exists()}
    return list(found)


def _make(root: Path) -> None:
    try:
        root.mkdir(exist_ok=True)
    except OSError as error:
        raise ClusterError(f"a node needs to write {root.parent}: {error.strerror}") from error
    # v1: a new group of cpuset has no processor and no memory until it is told.
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = root / name
        if file.exists() and (root.parent / name).exists():
            file.write_text((root.parent / name).read_text())


def _remove(group: Path) -> None:
    with suppress(FileNotFoundError):
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
