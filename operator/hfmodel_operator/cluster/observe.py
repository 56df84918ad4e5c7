"""The whole picture as the decider wants to see it, from the objects of the API server and what pods said. Pure.

What was seen before and is as it was is not looked at again, so that a look costs what changed, not what there is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from hfmodel_api.names import LABEL_MODEL, LABEL_TEMPLATE_HASH
from hfmodel_api.spec import HFModel
from hfmodel_api.status import CacheStatus, HFModelStatus
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.books import Book, opened
from hfmodel_operator.cluster.containers import CACHE_MOUNT
from hfmodel_operator.cluster.facts import Facts, Need, needs, problem_of
from hfmodel_operator.cluster.failures import said
from hfmodel_operator.cluster.labels import CONTAINER_FETCH, LABEL_FETCH, LABEL_SOURCE
from hfmodel_operator.cluster.needed import needed_by_model
from hfmodel_operator.cluster.objects import labels_of, name_of, owner_uid, uid_of
from hfmodel_operator.cluster.parsed import Parsed, parsed, parsed_again
from hfmodel_operator.cluster.pod_state import Heard, observed_pod
from hfmodel_operator.cluster.prefetch import Prefetched, fetch_hash, is_going, prefetched
from hfmodel_operator.cluster.seen import Parts, Rest, Seen
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.template import template_hash
from hfmodel_operator.keep import keep_names
from hfmodel_operator.observed import Observed, ObservedModel, ObservedPod, Settings
from hfmodel_operator.source import Fetched, parse_fetched, source_of

_SILENT: Final = Heard()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that is known at one moment."""

    models: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()  # serving and fetching ones
    jobs: tuple[Json, ...] = ()
    heard: Mapping[str, Heard] = field(default_factory=dict)  # by the uid of the pod
    progress: Mapping[str, CacheStatus] = field(default_factory=dict)  # by the name of the fetching pod
    facts: Facts = field(default_factory=dict)
    books: Mapping[str, Book] = field(default_factory=dict)  # by the uid of the model


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at everything.

    Attributes:
        observed: all models.
        awake: those of them that are to be decided on.
        rested: the others, by the uid of the model.
        seen: the same by the uid of the model, for the next look.
        books: by the uid of the model.
        needs: of all models.
    """

    observed: Observed
    awake: Observed
    rested: Mapping[str, Rest]
    seen: Mapping[str, Seen]
    books: Mapping[str, Book]
    needs: frozenset[Need]


def observe(
    picture: Picture,
    cluster: ClusterSettings,
    settings: Settings,
    now: datetime,
    *,
    before: Mapping[str, Seen] | None = None,
    resting: Mapping[str, Rest] | None = None,
) -> Look:
    """What there is. The books of models that are gone are closed.

    Args:
        before: what the last look saw, by the uid of the model; what it is made of counts, not what it says.
        resting: models that need not be looked at, unless something about them changed.
    """
    observer = _Observer(picture, cluster, settings, now, before or {})
    seen: dict[str, Seen] = {}
    rested: dict[str, Rest] = {}
    awake: list[ObservedModel] = []
    for thing in picture.models:
        if is_going(thing):
            continue
        uid, parts = uid_of(thing), observer.parts(thing)
        rest, known = (resting or {}).get(uid), observer.before.get(uid)
        if rest is not None and known is not None and rest.lasts(now) and known.still_is(parts, picture.facts):
            seen[uid], rested[uid] = known, rest
        else:
            seen[uid] = observer.see(uid, parts)
            awake.append(seen[uid].model)
    return Look(
        observed=Observed(models=tuple(each.model for each in seen.values())),
        awake=Observed(models=tuple(awake)),
        rested=rested,
        seen=seen,
        books={uid: each.book for uid, each in seen.items()},
        needs=frozenset(need for each in seen.values() for need, _ in each.facts),
    )


class _Observer:
    """Sees one model after the other; lives for one look."""

    def __init__(
        self,
        picture: Picture,
        cluster: ClusterSettings,
        settings: Settings,
        now: datetime,
        before: Mapping[str, Seen],
    ) -> None:
        self._picture, self._cluster, self._settings, self._now = picture, cluster, settings, now
        self.before = before
        self._pods = _by_label(picture.pods, LABEL_MODEL)
        self._jobs = _by_label(picture.jobs, LABEL_FETCH)
        self._fetch_pods = _by_label(picture.pods, LABEL_FETCH)

    def parts(self, thing: Json) -> Parts:
        name = name_of(thing)
        pods, jobs, fetch_pods = self._pods.get(name, ()), self._jobs.get(name, ()), self._fetch_pods.get(name, ())
        return Parts(thing, pods, jobs, fetch_pods, tuple(map(self._heard, pods)))

    def _heard(self, pod: Json) -> Heard:
        return self._picture.heard.get(uid_of(pod), _SILENT)

    def see(self, uid: str, parts: Parts) -> Seen:
        known = self.before.get(uid)
        read = parsed(parts.thing) if known is None else parsed_again(known.parsed, known.parts.thing, parts.thing)
        model, status = read.model, read.status
        pods = [pod for pod in parts.pods if owner_uid(pod) == uid]
        found = [observed_pod(pod, self._heard(pod), self._now) for pod in pods]
        wanted = self._wanted_hash(read, known, pods)
        book = self._book(model, status, found, wanted)
        fetch = self._prefetched(model, uid, parts)
        fetched = fetch.fetched or _fetched_by(pods, source_of(model).key)
        cached = fetched is not None
        facts = self._picture.facts
        refused = book.refused if fetch.failure is None and not fetch.running else None
        observed = ObservedModel(
            model=model,
            template_hash=wanted,
            status=status,
            demand=status.demand,
            pods=tuple(replace(pod, ready_at=book.ready_at.get(pod.uid, pod.ready_at)) for pod in found),
            cached=cached,
            fetching=fetch.running,
            fetch_waiting=fetch.waiting,
            cache=self._cache(fetch, fetched, pods),
            fetch_failure=fetch.failure or refused,
            fetch_failed_at=fetch.failed_at or (book.refused_at if refused else None),
            fetch_failures=fetch.failures or (1 if refused else 0),
            resolved_revision=fetched.revision if fetched else None,
            last_active=book.last_active,
            problem=read.problem or problem_of(model, self._cluster, facts, cached=cached),
            failures=book.failures,
            last_failure=book.last_failure,
            last_failed_at=book.last_failed_at,
        )
        return Seen(
            parts=parts,
            parsed=read,
            wanted_hash=wanted,
            model=observed,
            book=book,
            fetched=fetched,
            kept=self._kept(read, known, parts.thing, fetched),
            facts=tuple((need, facts.get(need)) for need in needs(model, self._cluster, cached=cached)),
        )

    def _wanted_hash(self, read: Parsed, known: Seen | None, pods: list[Json]) -> str:
        if read.problem:
            return _kept_hash(pods)
        if known is not None and known.parsed.model is read.model:
            return known.wanted_hash
        return template_hash(read.model, self._cluster)

    def _kept(self, read: Parsed, known: Seen | None, thing: Json, fetched: Fetched | None) -> tuple[str, ...]:
        if known is not None and known.parsed.model is read.model and known.fetched == fetched:
            return known.kept
        needs = needed_by_model(read, thing, fetched, cache_claim=self._cluster.cache_claim)
        return keep_names(needs, cache_dir=CACHE_MOUNT)

    def _book(self, model: HFModel, status: HFModelStatus, pods: list[ObservedPod], wanted: str) -> Book:
        known = self._picture.books.get(model.uid)
        book = known or opened(model, status, template_hash=wanted, settings=self._settings)
        return book.seen(pods, template_hash=wanted, now=self._now)

    def _prefetched(self, model: HFModel, uid: str, parts: Parts) -> Prefetched:
        jobs = [job for job in parts.jobs if owner_uid(job) == uid]
        found = prefetched(jobs, parts.fetch_pods, source=source_of(model).key, now=self._now)
        if found.made_of and found.made_of != fetch_hash(model, self._cluster):
            return Prefetched()  # else it would wait for ever for what manifest and settings do not ask for any more
        return found

    def _cache(self, fetch: Prefetched, fetched: Fetched | None, pods: Iterable[Json]) -> CacheStatus | None:
        if fetched is not None:
            return CacheStatus(bytes=fetched.bytes, total_bytes=fetched.bytes)
        progress = self._picture.progress
        names = [fetch.pod or "", *map(name_of, pods)]
        return next((progress[name] for name in names if name in progress), None)


def _by_label(things: Iterable[Json], label: str) -> dict[str, tuple[Json, ...]]:
    found: dict[str, list[Json]] = {}
    for thing in things:
        if (value := labels_of(thing).get(label)) is not None:
            found.setdefault(value, []).append(thing)
    return {value: tuple(each) for value, each in found.items()}


def _kept_hash(pods: Iterable[Json]) -> str:
    """Of the pods that there are: none of them is outdated by a spec that cannot be read."""
    return next((labels_of(pod).get(LABEL_TEMPLATE_HASH, "") for pod in pods), "")


def _fetched_by(pods: Iterable[Json], source: str) -> Fetched | None:
    """What a serving pod has fetched itself."""
    for pod in pods:
        if labels_of(pod).get(LABEL_SOURCE) == source and (fetched := parse_fetched(said(pod, CONTAINER_FETCH))):
            return fetched
    return None
