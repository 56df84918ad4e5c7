"""The whole picture as the decider wants to see it, from the objects of the API server and what pods said. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import ValidationError

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.names import LABEL_MODEL, LABEL_TEMPLATE_HASH
from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import Cache, HFModel, HFModelSpec
from hfmodel_api.status import CacheStatus, Demand, HFModelStatus, Reason
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.books import Book, opened
from hfmodel_operator.cluster.facts import Facts, problem_of
from hfmodel_operator.cluster.failures import said
from hfmodel_operator.cluster.labels import CONTAINER_FETCH, LABEL_FETCH, LABEL_SOURCE
from hfmodel_operator.cluster.objects import labels_of, name_of, owner_uid, status_of, uid_of
from hfmodel_operator.cluster.pod_state import Heard, observed_pod
from hfmodel_operator.cluster.prefetch import Prefetched, is_going, prefetched
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.template import template_hash
from hfmodel_operator.observed import Observed, ObservedModel, ObservedPod, PodFailure, Settings
from hfmodel_operator.source import Fetched, parse_fetched, source_of


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
    """One look at everything."""

    observed: Observed
    books: Mapping[str, Book]
    fetched: Mapping[str, Fetched]  # by model id, where it is known to be in the cache


@dataclass(frozen=True, slots=True)
class Parsed:
    """An HFModel; one that breaks the schema is a stand-in, so that its pods serve on, with the `problem`."""

    model: HFModel
    problem: PodFailure | None = None


def observe(picture: Picture, cluster: ClusterSettings, settings: Settings, now: datetime) -> Look:
    """What there is. The books of models that are gone are closed."""
    observer = _Observer(picture, cluster, settings, now)
    for thing in picture.models:
        if not is_going(thing):
            observer.add(thing)
    return Look(observed=Observed(models=tuple(observer.models)), books=observer.books, fetched=observer.fetched)


def parse_model(thing: Json) -> Parsed:
    try:
        return Parsed(parse_manifest(thing))
    except InvalidManifest as error:
        message = str(error)
    except ValidationError as error:  # a name that is no id
        message = "; ".join(details["msg"] for details in error.errors())
    metadata = thing["metadata"]
    stand_in = HFModel.model_construct(
        id=metadata["name"],
        spec=HFModelSpec(model="invalid", cache=Cache(prefetch=False)),
        namespace=metadata.get("namespace") or "",
        uid=uid_of(thing),
        generation=metadata.get("generation") or 1,
        labels={},
        annotations={},
    )
    return Parsed(stand_in, PodFailure(Reason.INVALID_SPEC, message, permanent=True))


def parse_status(thing: Json) -> HFModelStatus:
    """What was written last; what another version wrote and this one cannot read is as if nothing was."""
    try:
        return HFModelStatus.model_validate(status_of(thing))
    except ValidationError:
        return HFModelStatus(demand=_demand(status_of(thing).get("demand")))


def _demand(value: object) -> Demand:
    try:
        return Demand.model_validate(value or {})
    except ValidationError:
        return Demand()


class _Observer:
    """Takes in one model after the other; lives for one look."""

    def __init__(self, picture: Picture, cluster: ClusterSettings, settings: Settings, now: datetime) -> None:
        self._picture, self._cluster, self._settings, self._now = picture, cluster, settings, now
        self._pods = _by_label(picture.pods, LABEL_MODEL)
        self._jobs = _by_label(picture.jobs, LABEL_FETCH)
        self._fetch_pods = _by_label(picture.pods, LABEL_FETCH)
        self.models: list[ObservedModel] = []
        self.books: dict[str, Book] = {}
        self.fetched: dict[str, Fetched] = {}

    def add(self, thing: Json) -> None:
        uid, parsed, status = uid_of(thing), parse_model(thing), parse_status(thing)
        model = parsed.model
        pods = [pod for pod in self._pods.get(model.id, ()) if owner_uid(pod) == uid]
        found = [observed_pod(pod, self._picture.heard.get(uid_of(pod), Heard()), self._now) for pod in pods]
        wanted = _kept_hash(pods) if parsed.problem else template_hash(model, self._cluster)
        book = self.books[uid] = self._book(model, status, found, wanted)
        fetch = self._prefetched(model, uid)
        fetched = fetch.fetched or _fetched_by(pods, source_of(model).key)
        if fetched is not None:
            self.fetched[model.id] = fetched
        cached = fetched is not None
        problem = parsed.problem or problem_of(model, self._cluster, self._picture.facts, cached=cached)
        refused = book.refused if fetch.failure is None and not fetch.running else None
        self.models.append(
            ObservedModel(
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
                problem=problem,
                failures=book.failures,
                last_failure=book.last_failure,
                last_failed_at=book.last_failed_at,
            )
        )

    def _book(self, model: HFModel, status: HFModelStatus, pods: list[ObservedPod], wanted: str) -> Book:
        known = self._picture.books.get(model.uid)
        book = known or opened(model, status, template_hash=wanted, settings=self._settings)
        return book.seen(pods, template_hash=wanted, now=self._now)

    def _prefetched(self, model: HFModel, uid: str) -> Prefetched:
        jobs = [job for job in self._jobs.get(model.id, ()) if owner_uid(job) == uid]
        return prefetched(jobs, self._fetch_pods.get(model.id, ()), source=source_of(model).key, now=self._now)

    def _cache(self, fetch: Prefetched, fetched: Fetched | None, pods: Iterable[Json]) -> CacheStatus | None:
        if fetched is not None:
            return CacheStatus(bytes=fetched.bytes, total_bytes=fetched.bytes)
        progress = self._picture.progress
        names = [fetch.pod or "", *map(name_of, pods)]
        return next((progress[name] for name in names if name in progress), None)


def _by_label(things: Iterable[Json], label: str) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for thing in things:
        if (value := labels_of(thing).get(label)) is not None:
            found.setdefault(value, []).append(thing)
    return found


def _kept_hash(pods: Iterable[Json]) -> str:
    """Of the pods that there are: none of them is outdated by a spec that cannot be read."""
    return next((labels_of(pod).get(LABEL_TEMPLATE_HASH, "") for pod in pods), "")


def _fetched_by(pods: Iterable[Json], source: str) -> Fetched | None:
    """What a serving pod has fetched itself."""
    for pod in pods:
        if labels_of(pod).get(LABEL_SOURCE) == source and (fetched := parse_fetched(said(pod, CONTAINER_FETCH))):
            return fetched
    return None
