"""`FetchFailure`, and the one place where what went wrong becomes a reason and a sentence to act on."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hfmodel_api.errors import HFModelError
from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure
from hfmodel_runtime.fetch.request import FetchRequest, HubSource, LocalSource

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


class VolumeFull(OSError):
    """The volume ran full on the way. `needed`: bytes that were still to be written; None: nobody knows."""

    def __init__(self, error: OSError, *, needed: int | None) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.needed = needed


@contextmanager
def noting_needed(needed: Callable[[], int | None]) -> Iterator[None]:
    """Raises VolumeFull for an OSError that says that the volume is full; `needed` is asked for then."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise VolumeFull(error, needed=needed()) from error


class FetchFailure(HFModelError):
    """A fetch that cannot go on. `retryable`: the same call may succeed later without anybody's help."""

    def __init__(self, reason: Reason, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(reason=reason, message=message, retryable=retryable)


def failure_of(error: Exception, request: FetchRequest) -> FetchFailure:
    """`error`, raised while `request` was worked on, as a failure that the user can act on."""
    if isinstance(error, FetchFailure):
        return error
    if isinstance(request.source, HubSource):
        # Imports huggingface_hub, which a local path does without.
        from hfmodel_runtime.fetch.hub_errors import hub_failure

        if (failure := hub_failure(error, request.source)) is not None:
            return failure
    if isinstance(error, MemoryError):
        return FetchFailure(Reason.OUT_OF_MEMORY, "not enough memory to convert the weights: give the fetch more")
    if isinstance(error, OSError):
        return _os_failure(error, request)
    return _unexpected(error)


def _os_failure(error: OSError, request: FetchRequest) -> FetchFailure:
    text = error.strerror or str(error)
    where = error.filename or request.cache_dir
    if isinstance(error.filename, str) and _is_of_the_source(Path(error.filename), request):
        retryable = error.errno not in _NOT_WRITABLE
        message = f"{where} cannot be read: {text}. Check its owner and mode."
        return FetchFailure(Reason.PATH_NOT_FOUND, message, retryable=retryable)
    if error.errno in _FULL:
        message = f"the volume of the cache {request.cache_dir} is full ({text}){_numbers(error, request)}: "
        return FetchFailure(Reason.NO_SPACE, f"{message}enlarge it or remove models from it")
    if error.errno in _NOT_WRITABLE:
        message = f"cannot write to the cache {request.cache_dir}: {text} ({where}). Check its owner and mount options."
        return FetchFailure(Reason.CACHE_NOT_WRITABLE, message)
    if error.errno is not None:
        message = f"the cache {request.cache_dir} failed: {text} ({where})"
        return FetchFailure(Reason.CACHE_NOT_WRITABLE, message, retryable=True)
    return _unexpected(error)


def _numbers(error: OSError, request: FetchRequest) -> str:
    """What was still needed, and what is free; as far as that is known."""
    said = []
    if isinstance(error, VolumeFull) and error.needed is not None:
        said.append(f"{human_bytes(error.needed)} ({error.needed} bytes) still needed")
    # A quota, or a limit on one file, is not what the volume has left.
    if error.errno == errno.ENOSPC:
        with suppress(OSError):
            free = shutil.disk_usage(request.cache_dir).free
            said.append(f"{human_bytes(free)} ({free} bytes) free")
    return f", {', '.join(said)}" if said else ""


def _is_of_the_source(path: Path, request: FetchRequest) -> bool:
    if not isinstance(request.source, LocalSource) or path.is_relative_to(request.cache_dir):
        return False
    return path.is_relative_to(request.source.path)


def _unexpected(error: Exception) -> FetchFailure:
    message = f"the fetch failed unexpectedly ({type(error).__name__}: {error}); its log has the details"
    return FetchFailure(Reason.CRASH_LOOP, message, retryable=True)
