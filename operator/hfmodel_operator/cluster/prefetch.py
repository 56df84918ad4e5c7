"""The Job that brings a model into the cache before anybody waits for it, and what a Job tells. Pure."""

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hfmodel_api.names import LABEL_MANAGED_BY
from hfmodel_api.spec import HFModel
from hfmodel_api.status import Reason
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.containers import fetch_container, model_volumes, owner_reference, pod_basics
from hfmodel_operator.cluster.failures import container_failure, parse_failure, said, waiting_for
from hfmodel_operator.cluster.labels import (
    ANNOTATION_OUTCOME,
    CONTAINER_FETCH,
    LABEL_ATTEMPT,
    LABEL_FETCH,
    LABEL_FETCH_HASH,
    LABEL_SOURCE,
    MANAGER,
)
from hfmodel_operator.cluster.objects import condition, labels_of, name_of, status_of, time_at
from hfmodel_operator.cluster.placement import fetching_placement
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.observed import PodFailure
from hfmodel_operator.source import Fetched, parse_fetched, source_of

_HASH_LENGTH: Final = 16
_NAME_LENGTH: Final = 63  # a Job's name becomes a label of its pods
_JOB_NAME: Final = "job-name"
_POD_WITHIN: Final = timedelta(seconds=10)  # the Job controller takes less, where it may


def prefetch_job(model: HFModel, settings: ClusterSettings, *, attempt: int, keep: bool = True) -> Json:
    """One try; when to try again is the operator's to say. `attempt` counts from 1; `keep` as in `fetch_container`."""
    labels = {LABEL_FETCH: model.id, LABEL_SOURCE: source_of(model).key, LABEL_MANAGED_BY: MANAGER}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": _job_name(model),
            "labels": {**labels, LABEL_ATTEMPT: str(attempt), LABEL_FETCH_HASH: fetch_hash(model, settings)},
            "ownerReferences": [owner_reference(model)],
        },
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod_spec(model, settings, keep=keep),
            },
        },
    }


def fetch_hash(model: HFModel, settings: ClusterSettings) -> str:
    """Two fetches with equal hashes do the same in the same place."""
    text = json.dumps(_pod_spec(model, settings, keep=False), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def _pod_spec(model: HFModel, settings: ClusterSettings, *, keep: bool) -> Json:
    return {
        "restartPolicy": "Never",
        "containers": [fetch_container(model, settings, link=False, keep=keep)],
        **fetching_placement(model, settings),
        **pod_basics(settings, volumes=model_volumes(model, settings)),
    }


def _job_name(model: HFModel) -> str:
    suffix = f"-fetch-{secrets.token_hex(3)}"
    return model.id[: _NAME_LENGTH - len(suffix)].rstrip("-.") + suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """What the Jobs of a model tell of its source."""

    running: bool = False
    pod: str | None = None  # of the one that runs
    waiting: PodFailure | None = None  # why the one that runs does not begin
    made_of: str = ""  # the `fetch_hash` of the one that does not begin, if it says so
    fetched: Fetched | None = None
    failure: PodFailure | None = None
    failed_at: datetime | None = None
    failures: int = 0


def prefetched(jobs: Iterable[Json], pods: Iterable[Json], *, source: str, now: datetime) -> Prefetched:
    """What is known of `source` (a key) from the Jobs of one model and their pods; the latest Job counts."""
    of_source = [job for job in jobs if labels_of(job).get(LABEL_SOURCE) == source and not is_going(job)]
    if not of_source:
        return Prefetched()
    job = max(of_source, key=lambda job: (attempt_of(job), job["metadata"]["creationTimestamp"]))
    pod = next((pod for pod in pods if labels_of(pod).get(_JOB_NAME) == name_of(job)), None)
    if condition(job, "Failed", "True") is not None:
        return _failed(job, _failure(job, pod))
    if condition(job, "Complete", "True") is None:
        return _running(job, pod, now)
    fetched = parse_fetched(outcome(job, pod))
    if fetched is None:
        return _failed(job, PodFailure(Reason.CRASH_LOOP, "the fetch ended without saying what it fetched"))
    return Prefetched(fetched=fetched)


def _running(job: Json, pod: Json | None, now: datetime) -> Prefetched:
    if pod is None:
        return _waiting(job, _without_pod(job, now))
    if (stuck := container_failure(pod, CONTAINER_FETCH)) is not None:
        return _failed(job, stuck)
    return _waiting(job, waiting_for(pod), pod=name_of(pod))


def _waiting(job: Json, why: PodFailure | None, *, pod: str | None = None) -> Prefetched:
    made_of = "" if why is None else labels_of(job).get(LABEL_FETCH_HASH, "")
    return Prefetched(running=True, pod=pod, waiting=why, made_of=made_of)


def _without_pod(job: Json, now: datetime) -> PodFailure | None:
    created_at = time_at(job["metadata"], "creationTimestamp")
    if created_at is None or now - created_at < _POD_WITHIN:
        return None
    # Only an Event of the Job's has the server's words.
    why = f"`kubectl describe job {name_of(job)}` says why"
    return PodFailure(Reason.UNSCHEDULABLE, f"the Job that downloads the weights gets no pod: {why}")


def outcome(job: Json, pod: Json | None) -> str:
    """The last word of the fetch: as noted on the Job, else as its pod still has it."""
    noted = (job["metadata"].get("annotations") or {}).get(ANNOTATION_OUTCOME)
    return str(noted) if noted else "" if pod is None else said(pod, CONTAINER_FETCH)


def attempt_of(job: Json) -> int:
    text = labels_of(job).get(LABEL_ATTEMPT, "")
    return int(text) if text.isdecimal() else 1


def is_going(thing: Json) -> bool:
    return "deletionTimestamp" in thing["metadata"]


def outcomes_to_note(jobs: Iterable[Json], pods: Iterable[Json]) -> list[tuple[Json, str]]:
    """Jobs that ended and whose last word is on their pod alone, which may go at any time."""
    by_job = {labels_of(pod).get(_JOB_NAME): pod for pod in pods}
    found = []
    for job in jobs:
        noted = ANNOTATION_OUTCOME in (job["metadata"].get("annotations") or {})
        ended = condition(job, "Complete", "True") or condition(job, "Failed", "True")
        if ended and not noted and not is_going(job) and (word := outcome(job, by_job.get(name_of(job)))):
            found.append((job, word.strip().splitlines()[-1]))
    return found


def _failed(job: Json, failure: PodFailure) -> Prefetched:
    ended = condition(job, "Failed", "True") or condition(job, "Complete", "True") or {}
    at = time_at(ended, "lastTransitionTime") or time_at(status_of(job), "startTime")
    return Prefetched(
        failure=failure,
        failed_at=at or time_at(job["metadata"], "creationTimestamp"),
        failures=attempt_of(job),
    )


def _failure(job: Json, pod: Json | None) -> PodFailure:
    ended = condition(job, "Failed", "True") or {}
    fallback = PodFailure(Reason.CRASH_LOOP, f"the fetch failed: {ended.get('message') or 'its pod is gone'}")
    found = None if pod is None else container_failure(pod, CONTAINER_FETCH)
    return found or parse_failure(outcome(job, pod)) or fallback
