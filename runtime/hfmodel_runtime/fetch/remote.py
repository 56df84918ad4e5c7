"""From the Hub into the cache: resolve, choose, download, convert if need be, publish."""

import logging
import os
import time
from functools import partial
from pathlib import Path

import httpx2

from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import cache
from hfmodel_runtime.fetch.cache import Entry
from hfmodel_runtime.fetch.conversion_size import converted_bytes
from hfmodel_runtime.fetch.convert import convert, remove_leftovers
from hfmodel_runtime.fetch.download import Download, missing_bytes, remove_others
from hfmodel_runtime.fetch.errors import FetchFailure, failure_of, noting_needed
from hfmodel_runtime.fetch.hub import Hub, Listing
from hfmodel_runtime.fetch.lock import held
from hfmodel_runtime.fetch.meter import Meter
from hfmodel_runtime.fetch.overtaken import built
from hfmodel_runtime.fetch.remote_code import refuse_remote_code
from hfmodel_runtime.fetch.request import Fetched, FetchRequest, HubSource, Retry, Stage
from hfmodel_runtime.fetch.room import Room
from hfmodel_runtime.fetch.selection import Selection, SourceFile, WeightFormat, narrowed, select, total_bytes
from hfmodel_runtime.fetch.verify import check_model_directory, read_config, read_shards

logger = logging.getLogger(__name__)

# Failures that tell nothing about the revision. The Hub refuses a token that has expired before it looks at what is
# asked for; a restart must not fail for it. Where the repository itself is refused, the cache does not overrule that.
_SAYS_NOTHING = {Reason.HUB_UNREACHABLE, Reason.TOKEN_INVALID}


def fetch_remote(request: FetchRequest, source: HubSource, *, meter: Meter, retry: Retry) -> Fetched:
    """The model of `source` as a published directory. Raises FetchFailure, or what the Hub's client raises."""
    hub = Hub(source, retry=retry, tally=meter.tally)
    try:
        listing = hub.listing(brief=_is_known(request, source))
    except (FetchFailure, httpx2.HTTPError, OSError) as error:
        return _last_resolved(request, source, failure=failure_of(error, request))
    _remember(request, source, listing.commit)
    entry = _entry(request, source, listing.commit)
    if found := cache.published(entry, revision=listing.commit):
        return found
    selection = select(listing.files, model=source.model, code=request.trust_remote_code)

    def waiting() -> None:
        count = cache.staged_bytes(entry)
        meter.update(Stage.DOWNLOAD, count, total=selection.total_bytes, now=time.monotonic())

    sign = partial(cache.staging_sign, entry)
    with held(entry.lock, waiting=waiting, sign=sign, patience=retry.lock_seconds):
        # Whoever had the lock before may have published it.
        if found := cache.published(entry, revision=listing.commit):
            return found
        build = partial(_Build(request, hub, listing, entry, meter).run, selection)
        return built(build, entry, revision=listing.commit, patience=retry.lock_seconds)


def _entry(request: FetchRequest, source: HubSource, commit: str) -> Entry:
    return cache.commit_entry(request.cache_dir, model=source.model, commit=commit, code=request.trust_remote_code)


def _remember(request: FetchRequest, source: HubSource, commit: str) -> None:
    if source.revision != commit:
        cache.write_ref(
            request.cache_dir, model=source.model, revision=source.revision, endpoint=source.endpoint, commit=commit
        )


def _commit_resolved_last(request: FetchRequest, source: HubSource) -> str | None:
    return cache.read_ref(request.cache_dir, model=source.model, revision=source.revision, endpoint=source.endpoint)


def _is_known(request: FetchRequest, source: HubSource) -> bool:
    """The cache could answer without the Hub. Looks only: nothing is used yet."""
    commit = _commit_resolved_last(request, source)
    return commit is not None and cache.published_bytes(_entry(request, source, commit).target) is not None


def _last_resolved(request: FetchRequest, source: HubSource, *, failure: FetchFailure) -> Fetched:
    """What the revision was when the Hub last answered, if it says nothing of it now; else `failure` is raised."""
    reason = failure.failure.reason
    if reason not in _SAYS_NOTHING:
        raise failure
    commit = _commit_resolved_last(request, source)
    if commit and (found := cache.published(_entry(request, source, commit), revision=commit)):
        logger.warning("%s, using the commit resolved last commit=%s error=%s", reason, commit, failure)
        return found
    if reason is Reason.HUB_UNREACHABLE:
        raise _with_what_is_cached(failure, request, source)
    raise failure


def _with_what_is_cached(failure: FetchFailure, request: FetchRequest, source: HubSource) -> FetchFailure:
    """The same, and what the cache could answer without the Hub."""
    commits = cache.published_commits(request.cache_dir, model=source.model)
    if commits:
        hint = f"the cache {request.cache_dir} does not know that revision; it has {', '.join(commits)}: name one"
    else:
        hint = f"nor is it in the cache {request.cache_dir}"
    said = failure.failure
    return FetchFailure(said.reason, f"{said.message}; {hint}", retryable=said.retryable)


class _Build:
    """The way of one commit through the staging directory."""

    def __init__(self, request: FetchRequest, hub: Hub, listing: Listing, entry: Entry, meter: Meter) -> None:
        self._request = request
        self._model = hub.source.model
        self._listing = listing
        self._entry = entry
        self._meter = meter
        self._directory = cache.download_directory(entry)
        self._room = Room(entry=entry, limit=request.cache_limit, keep=request.keep, tally=meter.tally)
        self._opener = partial(hub.open, commit=listing.commit)
        self._download = Download(self._directory, opener=self._opener, retry=hub.retry, meter=meter)

    def run(self, selection: Selection) -> Fetched:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._take_over(selection.files)
        logger.info("fetching model=%s commit=%s format=%s", self._model, self._listing.commit, selection.format)
        if selection.small:
            selection = self._look_ahead(selection)
        to_convert = self._converted_bytes(selection)
        self._make_room(selection, to_convert)
        sizes_known = total_bytes(selection.weights) is not None
        with noting_needed(lambda: self._missing(selection) + to_convert if sizes_known else None):
            self._download.run(selection.weights, total=selection.total_bytes)
        self._report(Stage.VERIFY, selection)
        size = cache.publish(self._entry, self._finish(selection), origin=self._origin(selection))
        cache.discard_staging(self._entry)
        logger.info("published path=%s", self._entry.target)
        return Fetched(path=self._entry.target, revision=self._listing.commit, bytes=size)

    def _converted_bytes(self, selection: Selection) -> int:
        return converted_bytes(selection, self._directory, opener=self._opener, tally=self._meter.tally)

    def _missing(self, selection: Selection) -> int:
        return missing_bytes(self._directory, selection.weights)

    def _make_room(self, selection: Selection, to_convert: int) -> None:
        """For download and conversion together: the download stays until what it became is published."""
        missing, what = self._missing(selection), f"the weights of {self._model}"
        if to_convert:
            # They would count as well, and go anyhow.
            remove_leftovers(self._entry.staging)
            what += f" ({human_bytes(missing)} to download, {human_bytes(to_convert)} as safetensors)"
        self._room.ensure(self._directory, needed=missing + to_convert, what=what)

    def _take_over(self, files: tuple[SourceFile, ...]) -> None:
        """Link what this commit has published already, without or with its *.py: the same files, for no space."""
        other = _entry_of_other_kind(self._entry)
        if cache.published_bytes(other.target) is None:
            return
        for file in files:
            _link(other.target / file.path, self._directory / file.path)

    def _look_ahead(self, selection: Selection) -> Selection:
        """Fetch config and index and look at them before many bytes are paid for."""
        self._download.run(selection.small, total=selection.total_bytes)
        config = read_config(self._directory)
        if not self._request.trust_remote_code:
            refuse_remote_code(config, model=self._model)
        if selection.index is None:
            return selection
        shards = read_shards(self._directory / selection.index.path)
        return narrowed(selection, files=self._listing.files, shards=shards, model=self._model)

    def _finish(self, selection: Selection) -> Path:
        """The directory to publish."""
        if selection.format is WeightFormat.SAFETENSORS:
            remove_others(self._directory, selection.files)
            check_model_directory(self._directory)
            return self._directory
        self._report(Stage.CONVERT, selection)
        self._meter.tally.converted()
        staging, allow_pickle = self._entry.staging, self._request.allow_pickle
        return convert(selection, self._directory, staging, allow_pickle=allow_pickle, ensure=self._room.ensure)

    def _report(self, stage: Stage, selection: Selection) -> None:
        total = sum((self._directory / file.path).stat().st_size for file in selection.files)
        self._meter.update(stage, total, total=total, now=time.monotonic(), force=True)

    def _origin(self, selection: Selection) -> dict[str, str | None]:
        return {"model": self._model, "revision": self._listing.commit, "format": selection.format.value}


def _entry_of_other_kind(entry: Entry) -> Entry:
    plain = entry.key.removesuffix("-code")
    return Entry(entry.root, entry.name, plain if plain != entry.key else f"{plain}-code")


def _link(existing: Path, new: Path) -> None:
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        os.link(existing, new)
    except OSError as error:
        # Not in there, in here already, or a volume without hard links: then it is downloaded.
        logger.debug("not linked path=%s error=%s", existing, error.strerror)
