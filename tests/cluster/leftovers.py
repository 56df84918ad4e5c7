"""What nodes leave whose holder was killed, when the kernel has taken everything else: folders and control groups."""

import shutil
from pathlib import Path

from cluster.cgroups import MOUNT, groups, remove_groups
from cluster.ranges import PREFIX, claimed


def sweep(parent: Path, *, mount: Path = MOUNT) -> None:
    """Remove, of every name that nobody claims, the folders in `parent` and the control groups."""
    found = [*groups(f"{PREFIX}-", mount=mount), *parent.glob(f"{PREFIX}-*")]
    for name in {_name(path) for path in found}:
        with claimed(name) as ours:
            if ours:
                remove_groups(path for path in found if path.name == name)
                for folder in parent.glob(f"{name}-*"):
                    shutil.rmtree(folder, ignore_errors=True)


def _name(path: Path) -> str:
    """That of the node's ranges: three words; a folder's has a fourth."""
    return "-".join(path.name.split("-")[:3])
