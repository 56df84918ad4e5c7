"""After another fetch of the same has taken a conversion away, as it can where the locks of a volume do not work."""

import logging
import time
from collections.abc import Callable
from functools import partial

from hfmodel_runtime.fetch import cache
from hfmodel_runtime.fetch.cache import Entry
from hfmodel_runtime.fetch.convert import was_taken_away
from hfmodel_runtime.fetch.lock import PATIENCE_SECONDS, Silence
from hfmodel_runtime.fetch.request import Fetched

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def built(
    build: Callable[[], Fetched], entry: Entry, *, revision: str | None, patience: float = PATIENCE_SECONDS
) -> Fetched:
    """What `build` publishes, or what another publishes first.

    Whoever was overtaken waits: to begin again at once would take away what the other makes, and so on in turns. It
    does begin again when the other has left no sign of life for `patience` seconds.
    """
    while True:
        try:
            return build()
        except Exception as error:
            # Somebody else may have finished it and cleaned up under our feet.
            found = cache.published(entry, revision=revision)
            if found is None and not was_taken_away(error, entry.staging):
                raise
        if found is None:
            logger.warning("another fetch converts the same, waiting for it path=%s", entry.target)
            found = _awaited(entry, revision=revision, patience=patience)
        if found is not None:
            # What was made here meanwhile came after the other's cleaning.
            cache.discard_staging(entry)
            return found


def _awaited(entry: Entry, *, revision: str | None, patience: float) -> Fetched | None:
    silence, sign = Silence(patience), partial(cache.staging_sign, entry)
    while not silence.lasts(sign(), now=time.monotonic()):
        if found := cache.published(entry, revision=revision):
            return found
        time.sleep(_POLL_SECONDS)
    return cache.published(entry, revision=revision)
