"""`fetch`: one model, from wherever it is, as a directory that can be served."""

import logging
import re
import time
from dataclasses import replace
from pathlib import Path

from hfmodel_runtime.fetch.cache import commit_entry, published
from hfmodel_runtime.fetch.collect import touch_kept
from hfmodel_runtime.fetch.environment import prepare_environment
from hfmodel_runtime.fetch.errors import FetchFailure, failure_of
from hfmodel_runtime.fetch.inventory import items
from hfmodel_runtime.fetch.keep import KeepList, write_keep_list
from hfmodel_runtime.fetch.meter import Meter
from hfmodel_runtime.fetch.request import Fetched, FetchRequest, HubSource, LocalSource, Report, Retry

logger = logging.getLogger(__name__)

_RETRY = Retry()
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(request: FetchRequest, *, progress: Report, retry: Retry = _RETRY) -> Fetched:
    """Bring the model of `request` into the cache and return where it is. Blocks; repeat it to continue a broken one.

    Fetches of the same commit at the same time, in this or other processes, make one download.

    Raises:
        FetchFailure: whatever went wrong, as a reason and a sentence to act on.
    """
    prepare_environment()
    meter, began = Meter(progress), time.monotonic()
    try:
        if request.keep is not None:
            _say_what_stays(request.cache_dir, request.keep)
        fetched = _fetch(request, meter, retry)
    except FetchFailure:
        raise
    except Exception as error:
        raise failure_of(error, request) from error
    return replace(fetched, work=meter.tally.total(seconds=time.monotonic() - began))


def _say_what_stays(root: Path, keep: KeepList) -> None:
    """Before anything is looked for: from then on nobody collects what is found."""
    try:
        write_keep_list(root, keep)
        touch_kept(items(root), keep)
    except OSError as error:
        # A cache that is read-only here serves what it has; whoever writes it has to be told by somebody else.
        logger.warning("keep list not written cache=%s error=%s", root, error.strerror)


def _fetch(request: FetchRequest, meter: Meter, retry: Retry) -> Fetched:
    match request.source:
        case LocalSource() as source:
            from hfmodel_runtime.fetch.local import fetch_local

            return fetch_local(request, source, meter)
        case HubSource() as source:
            if found := _published_commit(request, source):
                return found
            # Imports huggingface_hub, which a published commit does without.
            from hfmodel_runtime.fetch.remote import fetch_remote

            return fetch_remote(request, source, meter=meter, retry=retry)


def _published_commit(request: FetchRequest, source: HubSource) -> Fetched | None:
    """What is in the cache already, if `source` names a full commit; asks nobody."""
    if not _COMMIT.fullmatch(source.revision):
        return None
    entry = commit_entry(request.cache_dir, model=source.model, commit=source.revision, code=request.trust_remote_code)
    return published(entry, revision=source.revision)
