"""`fetch`: one model, from wherever it is, as a directory that can be served."""

import re

from hfmodel_runtime.fetch.cache import commit_entry, published
from hfmodel_runtime.fetch.environment import prepare_environment
from hfmodel_runtime.fetch.errors import FetchFailure, failure_of
from hfmodel_runtime.fetch.meter import Meter
from hfmodel_runtime.fetch.request import Fetched, FetchRequest, HubSource, LocalSource, Report, Retry

_RETRY = Retry()
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(request: FetchRequest, *, progress: Report, retry: Retry = _RETRY) -> Fetched:
    """Bring the model of `request` into the cache and return where it is. Blocks; repeat it to continue a broken one.

    Fetches of the same commit at the same time, in this or other processes, make one download.

    Raises:
        FetchFailure: whatever went wrong, as a reason and a sentence to act on.
    """
    prepare_environment()
    try:
        return _fetch(request, Meter(progress), retry)
    except FetchFailure:
        raise
    except Exception as error:
        raise failure_of(error, request) from error


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
