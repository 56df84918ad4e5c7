"""`FetchFailure`, and the one place where what went wrong becomes a reason and a sentence to act on."""

import errno
from pathlib import Path

from hfmodel_api.errors import HFModelError
from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure
from hfmodel_runtime.fetch.request import FetchRequest, HubSource, LocalSource

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


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
        message = f"the volume of the cache {request.cache_dir} is full ({text}): enlarge it or remove models from it"
        return FetchFailure(Reason.NO_SPACE, message)
    if error.errno in _NOT_WRITABLE:
        message = f"cannot write to the cache {request.cache_dir}: {text} ({where}). Check its owner and mount options."
        return FetchFailure(Reason.CACHE_NOT_WRITABLE, message)
    if error.errno is not None:
        message = f"the cache {request.cache_dir} failed: {text} ({where})"
        return FetchFailure(Reason.CACHE_NOT_WRITABLE, message, retryable=True)
    return _unexpected(error)


def _is_of_the_source(path: Path, request: FetchRequest) -> bool:
    if not isinstance(request.source, LocalSource) or path.is_relative_to(request.cache_dir):
        return False
    return path.is_relative_to(request.source.path)


def _unexpected(error: Exception) -> FetchFailure:
    message = f"the fetch failed unexpectedly ({type(error).__name__}: {error}); its log has the details"
    return FetchFailure(Reason.CRASH_LOOP, message, retryable=True)
