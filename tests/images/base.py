"""A stand-in for the official Python image, where no registry can be asked: made of Debian's packages."""

import shutil
import zlib
from pathlib import Path
from typing import Final

from cluster.commands import Runner, tool
from cluster.errors import ClusterError
from cluster.steps import Report
from images.buildah import Buildah
from images.names import BASE

_RELEASE: Final = "bookworm"
# The last is what the runtime's images install themselves: a build here may have no mirror of Debian within reach.
_PACKAGES: Final = ("python3", "python3-venv", "ca-certificates", "libtcmalloc-minimal4")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_SHIPPED: Final = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man")


def ensure_base(buildah: Buildah, *, folder: Path, run: Runner, report: Report) -> None:
    """Have BASE in the storage of `buildah`; an archive of it in `folder` outlives that storage.

    Raises:
        ClusterError: debootstrap is missing or fails, such as when no mirror of Debian can be reached.
    """
    # Other packages make another base, whatever is in the storage under its name.
    archive = folder / f"base-{zlib.crc32(' '.join((_RELEASE, *_PACKAGES)).encode()):08x}.tar"
    if archive.exists():
        if not buildah.has(BASE):
            buildah.tag(buildah.load(archive), BASE)
        return
    report(f"making {BASE} of Debian's packages (a minute, once)")
    tree = folder / "base"
    shutil.rmtree(tree, ignore_errors=True)
    try:
        _bootstrap(tree, run)
        buildah.commit(tree, BASE, variables={"PATH": _PATH})
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    part = archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    buildah.save(BASE, part, reference=BASE)
    part.replace(archive)


def _bootstrap(tree: Path, run: Runner) -> None:
    unshare, program = tool("unshare", package="util-linux"), tool("debootstrap", package="debootstrap")
    # What it mounts and starts goes with it, however it ends: the folder is deleted, and must not lead to /proc.
    command = [unshare, "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", 'exec "$@" >&2', "sh", program]
    try:
        run([*command, "--variant=minbase", f"--include={','.join(_PACKAGES)}", _RELEASE, str(tree)])
    except ClusterError as error:
        raise ClusterError(f"debootstrap makes no base image; is Debian's mirror within reach?\n{error}") from error
    for name in _NOT_SHIPPED:
        shutil.rmtree(tree / name)
        (tree / name).mkdir()
    # The official image has no bytecode of the standard library either.
    for cached in list(tree.rglob("__pycache__")):
        shutil.rmtree(cached)
