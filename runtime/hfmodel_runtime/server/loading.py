"""Loading the engine, and what it means when that fails."""

import gc
import logging
from collections.abc import Callable

from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure, Stage
from hfmodel_runtime.engine.protocol import Engine, LoadOptions
from hfmodel_runtime.garbage import uncollected
from hfmodel_runtime.settings import ServeSettings

logger = logging.getLogger(__name__)

LoadEngine = Callable[[LoadOptions], Engine]


def load_engine(options: LoadOptions) -> Engine:
    """The engine for `options`, for the life of this process.

    Imports torch: seconds, so not before the port is open, and not on the event loop.
    """
    from hfmodel_runtime.engine.imports import import_engine

    with uncollected():
        import_engine()
        from hfmodel_runtime.engine.loader import load_engine as load

        options.reached(Stage.IMPORTS)
        engine = load(options)
    gc.freeze()  # what is there now stays: to look through all of it would hold up a step
    return engine


def load_options(settings: ServeSettings) -> LoadOptions:
    return LoadOptions(
        path=str(settings.model_dir),
        model_id=settings.model_id,
        model=settings.model,
        revision=settings.revision,
        type=settings.type,
        device=settings.device,
        dtype=settings.dtype,
        engine=settings.engine,
        max_length=settings.max_length,
        max_running=settings.max_running,
        max_queued=settings.max_queued,
        threads=settings.threads,
        trust_remote_code=settings.trust_remote_code,
        allow_pickle=settings.allow_pickle,
    )


def failure_of(error: Exception) -> Failure:
    """Why loading failed, in words for the status. What the loader did not foresee is logged with its traceback."""
    failure = getattr(error, "failure", None)
    if isinstance(failure, Failure):
        logger.debug("loading failed", exc_info=error)
        return failure
    logger.error("loading failed in an unforeseen way", exc_info=error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failure(reason=Reason.OUT_OF_MEMORY, message="the model does not fit into memory", retryable=True)
    return Failure(reason=Reason.CRASH_LOOP, message=f"loading failed: {type(error).__name__}: {error}", retryable=True)
