"""Builds an image into an archive that a container runtime can import, unless that archive is there."""

import glob
import os
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.commands import NicedRunner, tool
from cluster.errors import ClusterError
from cluster.steps import Report
from images.base import ensure_base
from images.buildah import Buildah
from images.cache import cache_folder, locked
from images.context import context_digest
from images.names import BASE, DEFAULT_TAG, IMAGES, Image
from images.pip_config import machines_pip_config

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_KEPT: Final = 3  # archives of an image, and images
_PROGRAMS: Final = ("buildah", "debootstrap")  # Debian's packages have the same names
_CERTIFICATES: Final = Path("/etc/ssl/certs")


def build(
    name: str, *, report: Report, output: Path | None = None, tag: str = DEFAULT_TAG, cache: Path | None = None
) -> Path:
    """The archive of an image, which is built first unless nothing has changed since the last time.

    Args:
        name: of IMAGES.
        report: takes progress lines.
        output: the folder for the archive; one in the cache unless told. The three latest of an image are kept there.
        tag: of the image's name.
        cache: the folder of layers and downloads; the user's cache unless told.

    Raises:
        ClusterError: an unknown name, this machine cannot build, or the build fails; its log is named.
    """
    image = _image(name)
    arguments = {"PYTHON_IMAGE": BASE, "VERSION": _version()}
    digest = context_digest(REPOSITORY, dockerfile=image.dockerfile, arguments=arguments)
    folder = cache or cache_folder()
    archives = (output or folder / "archives").absolute()
    order = _Order(image=image, reference=image.reference(tag), arguments=arguments, digest=digest)
    archive = archives / f"hfmodel-{name}-{tag}-{digest}.tar"
    if archive.exists():
        return archive
    require_machine()
    for each in (folder, archives):
        each.mkdir(parents=True, exist_ok=True)
    with locked(folder, report=report):
        if not archive.exists():
            _fill(order, archive, folder=folder, report=report)
    return archive


def missing_packages() -> list[str]:
    """Names of the Debian packages that building images needs and this machine lacks."""
    return [program for program in _PROGRAMS if shutil.which(program) is None]


def require_machine() -> None:
    """Raise ClusterError, in one sentence that says what to do, if no image can be built here."""
    if os.geteuid() != 0:  # asked first: debootstrap is not on everybody's PATH
        raise ClusterError("building images needs root: run it with sudo")
    for program in _PROGRAMS:
        tool(program, package=program)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """An image to build; `digest` stands for everything that goes into it."""

    image: Image
    reference: str
    arguments: Mapping[str, str]
    digest: str


def _fill(order: _Order, archive: Path, *, folder: Path, report: Report) -> None:
    log = folder / f"{order.image.name}.log"
    log.unlink(missing_ok=True)
    run = NicedRunner(log)
    buildah = Buildah(folder, run=run, log=log)
    record = folder / "built" / f"{order.image.name}-{order.digest}"  # has the image's id
    buildah.clean()
    try:
        ensure_base(buildah, folder=folder, run=run, report=report)
        if not (record.exists() and buildah.has(record.read_text())):
            report(f"building {order.image.dockerfile} (minutes the first time; {log})")
            record.parent.mkdir(exist_ok=True)
            record.write_text(_build(order, buildah=buildah, folder=folder))
        report(f"writing {archive}")
        _save(record.read_text(), archive, reference=order.reference, buildah=buildah)
    finally:
        buildah.clean()
    for older in _older(archive, order.digest):
        older.unlink()
    for older in _older(record, order.digest):
        if buildah.has(older.read_text()):
            buildah.remove(older.read_text())
        older.unlink()


def _build(order: _Order, *, buildah: Buildah, folder: Path) -> str:
    """The image's id."""
    with tempfile.NamedTemporaryFile("w", prefix="pip.", dir=folder) as config:
        return buildah.build(
            REPOSITORY / order.image.dockerfile,
            context=REPOSITORY,
            arguments=order.arguments,
            volumes=_volumes(Path(config.name)),
        )


def _save(built: str, archive: Path, *, reference: str, buildah: Buildah) -> None:
    """Write the archive, all of it or none."""
    part = archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        buildah.save(built, part, reference=reference)
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)


def _older(path: Path, digest: str) -> list[Path]:
    """Files beside `path` whose names differ in the digest alone, but for the latest: other checkouts may use those."""
    pattern = glob.escape(path.name).replace(digest, "?" * len(digest))
    return sorted(path.parent.glob(pattern), key=lambda file: file.stat().st_mtime)[:-_KEPT]


def _volumes(config: Path) -> dict[Path, str]:
    """What a build needs of this machine for pip to work as it does here; `config` becomes its pip.conf."""
    pip = machines_pip_config()
    config.write_text(pip.text())
    paths = [*([_CERTIFICATES] if _CERTIFICATES.exists() else []), *pip.local_paths()]
    return {config: "/etc/pip.conf"} | {path: str(path) for path in paths}


def _image(name: str) -> Image:
    if name not in IMAGES:
        raise ClusterError(f"no such image: {name} (of {', '.join(IMAGES)})")
    return IMAGES[name]


def _version() -> str:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return str(project["version"])
