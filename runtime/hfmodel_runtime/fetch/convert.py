"""Weights in another format become a model directory with safetensors, once."""

import errno
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure, noting_needed
from hfmodel_runtime.fetch.selection import Selection, WeightFormat
from hfmodel_runtime.fetch.sizes import EnsureSpace, ensure_space, tree_bytes
from hfmodel_runtime.fetch.verify import check_model_directory

logger = logging.getLogger(__name__)

_PREFIX = "converted-"
_GOING = "going-"
# What torch, gguf and transformers raise on files that are damaged or not what they seem to be.
_BROKEN_INPUT = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError)


def convert(
    selection: Selection, source: Path, staging: Path, *, allow_pickle: bool, ensure: EnsureSpace = ensure_space
) -> Path:
    """Make a new model directory in `staging` out of the files of `selection` in `source`; what a dead run left goes.

    Raises:
        FetchFailure: WeightsInvalid, ArchitectureNotSupported, NoUsableWeights, NoSpace.
        FileNotFoundError: `was_taken_away`, on a volume without locks.
    """
    staging.mkdir(parents=True, exist_ok=True)
    remove_leftovers(staging)
    # A name of its own: where the volume has no locks, two conversions must not write into each other's files.
    target = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=staging))
    made = target.stat()
    logger.info("converting format=%s source=%s", selection.format, source)
    needs: list[int] = []

    def noted(directory: Path, *, needed: int, what: str) -> None:
        needs.append(needed)
        ensure(directory, needed=needed, what=what)

    # Of a conversion that has no room nothing stays, so all of it is needed again.
    with noting_needed(lambda: needs[-1] if needs else None):
        try:
            _convert(selection, source, target, allow_pickle=allow_pickle, ensure=noted)
            check_model_directory(target)
            _refuse_another(target, made)
        except BaseException as error:
            taken = isinstance(error, Exception) and not _is_still(target, made)
            # Half a conversion cannot be continued.
            shutil.rmtree(target, ignore_errors=True)
            if taken:
                raise _taken_away(target) from error
            raise
    logger.info("converted bytes=%s", human_bytes(tree_bytes(target)))
    return target


def _is_still(directory: Path, made: os.stat_result) -> bool:
    """Otherwise what has the name now is not what was `made`, and may lack what was written first."""
    try:
        return os.path.samestat(made, directory.stat())
    except FileNotFoundError:
        return False


def _refuse_another(directory: Path, made: os.stat_result) -> None:
    if not _is_still(directory, made):
        raise _taken_away(directory)


def was_taken_away(error: Exception, staging: Path) -> bool:
    """Another fetch of the same began to convert, and took what is made in `staging` for a leftover."""
    return isinstance(error, FileNotFoundError) and str(error.filename).startswith(str(staging / _PREFIX))


def _taken_away(directory: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "another fetch of the same has taken it away", str(directory))


def remove_leftovers(staging: Path) -> None:
    """Delete conversions that were cut off.

    Renamed first: should somebody be at work there after all (a volume without locks), it is gone as a whole.
    """
    for leftover in staging.glob(f"{_PREFIX}*"):
        going = leftover.with_name(f"{_GOING}{leftover.name}")
        with suppress(FileNotFoundError):
            leftover.rename(going)
    for going in staging.glob(f"{_GOING}*"):
        shutil.rmtree(going, ignore_errors=True)


def _convert(selection: Selection, source: Path, target: Path, *, allow_pickle: bool, ensure: EnsureSpace) -> None:
    try:
        if selection.format is WeightFormat.GGUF:
            from hfmodel_runtime.fetch.convert_gguf import convert_gguf

            convert_gguf(source / selection.weights[0].path, target, ensure=ensure)
        else:
            _convert_pickle(selection, source, target, allow_pickle=allow_pickle, ensure=ensure)
    except _BROKEN_INPUT as error:
        logger.warning("conversion failed", exc_info=True)
        names = ", ".join(file.path for file in selection.weights[:3])
        message = f"{names} cannot be converted to safetensors: {type(error).__name__}: {error}"
        raise FetchFailure(Reason.WEIGHTS_INVALID, message) from error
    except SafetensorError as error:
        # The writer is not Python's: its errors carry the errno in their text alone.
        if f"os error {errno.ENOSPC}" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error


def _convert_pickle(
    selection: Selection, source: Path, target: Path, *, allow_pickle: bool, ensure: EnsureSpace
) -> None:
    from hfmodel_runtime.fetch.convert_pickle import convert_pickle

    for file in selection.small:
        if file == selection.index:
            continue
        (target / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file.path, target / file.path)
    paths = [source / file.path for file in selection.weights]
    convert_pickle(paths, target, allow_pickle=allow_pickle, ensure=ensure)
