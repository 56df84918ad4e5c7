"""Weights in another format become a model directory with safetensors, once."""

import errno
import logging
import os
import shutil
import tempfile
from pathlib import Path

from safetensors import SafetensorError

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.selection import Selection, WeightFormat
from hfmodel_runtime.fetch.sizes import human_bytes, tree_bytes
from hfmodel_runtime.fetch.verify import check_model_directory

logger = logging.getLogger(__name__)

_PREFIX = "converted-"
# What torch, gguf and transformers raise on files that are damaged or not what they seem to be.
_BROKEN_INPUT = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError)


def convert(selection: Selection, source: Path, staging: Path, *, allow_pickle: bool) -> Path:
    """Make a new model directory in `staging` out of the files of `selection` in `source`; what a dead run left goes.

    Raises:
        FetchFailure: WeightsInvalid, ArchitectureNotSupported, NoUsableWeights, NoSpace.
    """
    staging.mkdir(parents=True, exist_ok=True)
    for leftover in staging.glob(f"{_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A name of its own: where the volume has no locks, two conversions must not write into each other's files.
    target = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=staging))
    logger.info("converting format=%s source=%s", selection.format, source)
    try:
        _convert(selection, source, target, allow_pickle=allow_pickle)
        check_model_directory(target)
    except BaseException:
        # Half a conversion cannot be continued.
        shutil.rmtree(target, ignore_errors=True)
        raise
    logger.info("converted bytes=%s", human_bytes(tree_bytes(target)))
    return target


def _convert(selection: Selection, source: Path, target: Path, *, allow_pickle: bool) -> None:
    try:
        if selection.format is WeightFormat.GGUF:
            from hfmodel_runtime.fetch.convert_gguf import convert_gguf

            convert_gguf(source / selection.weights[0].path, target)
        else:
            _convert_pickle(selection, source, target, allow_pickle=allow_pickle)
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


def _convert_pickle(selection: Selection, source: Path, target: Path, *, allow_pickle: bool) -> None:
    from hfmodel_runtime.fetch.convert_pickle import convert_pickle

    for file in selection.small:
        if file == selection.index:
            continue
        (target / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file.path, target / file.path)
    convert_pickle([source / file.path for file in selection.weights], target, allow_pickle=allow_pickle)
