"""A path on this machine: served where it is if it can be, converted into the cache otherwise."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import cache
from hfmodel_runtime.fetch.cache import Entry
from hfmodel_runtime.fetch.convert import convert
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.lock import held
from hfmodel_runtime.fetch.meter import Meter
from hfmodel_runtime.fetch.overtaken import built
from hfmodel_runtime.fetch.request import Fetched, FetchRequest, LocalSource, Stage
from hfmodel_runtime.fetch.room import Room
from hfmodel_runtime.fetch.selection import Selection, SourceFile, WeightFormat, narrowed, select
from hfmodel_runtime.fetch.verify import check_model_directory, read_config, read_shards

logger = logging.getLogger(__name__)

_HASH_CHUNK = 1 << 20
_DIGESTS = "local--digests"  # the folder under refs/


def fetch_local(request: FetchRequest, source: LocalSource, meter: Meter) -> Fetched:
    """The model at `source.path`; copies nothing if it is a model directory with safetensors already.

    Raises:
        FetchFailure: PathNotFound, NoUsableWeights, ConfigInvalid, WeightsInvalid, NoSpace.
    """
    path = source.path.expanduser().absolute()
    directory, files = _files(path)
    selection = select(files, model=str(path), code=True)
    if selection.format is not WeightFormat.GGUF:
        read_config(directory)
    if selection.index is not None:
        shards = read_shards(directory / selection.index.path)
        selection = narrowed(selection, files=files, shards=shards, model=str(path))
    size = selection.total_bytes or 0
    if selection.format is WeightFormat.SAFETENSORS:
        meter.update(Stage.VERIFY, size, total=size, now=time.monotonic())
        check_model_directory(directory)
        return Fetched(path=directory, revision=None, bytes=size)
    return _converted(
        request, selection, directory=directory, name=path.stem if path.is_file() else path.name, meter=meter
    )


def _files(path: Path) -> tuple[Path, list[SourceFile]]:
    """The directory of a source and what it holds."""
    if not path.exists():
        raise FetchFailure(Reason.PATH_NOT_FOUND, f"there is nothing at {path}")
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise FetchFailure(Reason.PATH_NOT_FOUND, f"{path} cannot be read: check its owner and mode")
    if path.is_dir():
        return path, [_source_file(found, path) for found in sorted(_listed(path)) if found.is_file()]
    if path.suffix.lower() != ".gguf":
        raise FetchFailure(Reason.NO_USABLE_WEIGHTS, f"{path} is not a .gguf file: name the model's directory instead")
    return path.parent, [_source_file(path, path.parent)]


def _listed(directory: Path) -> Iterator[Path]:
    yield from directory.iterdir()
    yield from directory.glob("additional_chat_templates/*.jinja")


def _source_file(path: Path, directory: Path) -> SourceFile:
    return SourceFile(path=path.relative_to(directory).as_posix(), size=path.stat().st_size)


def _converted(request: FetchRequest, selection: Selection, *, directory: Path, name: str, meter: Meter) -> Fetched:
    digest = _digest(request.cache_dir, selection, directory, meter)
    entry = cache.local_entry(request.cache_dir, name=name, digest=digest)
    if found := cache.published(entry, revision=None):
        return found
    total = selection.total_bytes

    def report() -> None:
        meter.update(Stage.CONVERT, total or 0, total=total, now=time.monotonic())

    with held(entry.lock, waiting=report, sign=partial(cache.staging_sign, entry)):
        if found := cache.published(entry, revision=None):
            return found
        report()
        build = partial(_build, request, selection, entry, directory=directory, name=name, digest=digest, meter=meter)
        return built(build, entry, revision=None)


def _build(
    request: FetchRequest,
    selection: Selection,
    entry: Entry,
    *,
    directory: Path,
    name: str,
    digest: str,
    meter: Meter,
) -> Fetched:
    """Convert and publish."""
    meter.tally.converted()
    room = Room(entry=entry, limit=request.cache_limit, keep=request.keep, tally=meter.tally)
    target = convert(selection, directory, entry.staging, allow_pickle=request.allow_pickle, ensure=room.ensure)
    origin = {"model": name, "revision": digest, "format": selection.format.value}
    size = cache.publish(entry, target, origin=origin)
    cache.discard_staging(entry)
    logger.info("published path=%s", entry.target)
    return Fetched(path=entry.target, revision=None, bytes=size)


def _digest(root: Path, selection: Selection, directory: Path, meter: Meter) -> str:
    """A hash of names and contents: the same files elsewhere are the same model, changed ones are another.

    Remembered as long as the files' times do not change, since a wake should not wait for gigabytes to be read.
    """
    stats = (((directory / file.path).stat(), directory / file.path) for file in selection.files)
    seen = "\0".join(f"{path}\0{stat.st_ino}\0{stat.st_size}\0{stat.st_ctime_ns}" for stat, path in stats)
    key = hashlib.sha256(seen.encode()).hexdigest()
    if (known := cache.read_ref(root, model=_DIGESTS, revision=key, endpoint=None)) is not None:
        return known
    digest = _content_digest(selection, directory, meter)
    cache.write_ref(root, model=_DIGESTS, revision=key, endpoint=None, commit=digest)
    return digest


def _content_digest(selection: Selection, directory: Path, meter: Meter) -> str:
    digest, count = hashlib.sha256(), 0
    for file in selection.files:
        digest.update(f"{file.path}\0{file.size}\0".encode())
        with (directory / file.path).open("rb") as content:
            while chunk := content.read(_HASH_CHUNK):
                digest.update(chunk)
                count += len(chunk)
                meter.update(Stage.VERIFY, count, total=selection.total_bytes, now=time.monotonic())
    return digest.hexdigest()
