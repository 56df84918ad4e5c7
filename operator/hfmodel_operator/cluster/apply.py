"""Does what was decided, and decides nothing.

What is gone already is done; what has changed meanwhile is left to the next plan.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from hfmodel_api.status import HFModelStatus, Reason
from hfmodel_operator.cluster.api import HFMODELS, JOBS, PODS, Json, KubeApi, KubeError
from hfmodel_operator.cluster.books import Book
from hfmodel_operator.cluster.events import Recorder
from hfmodel_operator.cluster.hearing import Hearing
from hfmodel_operator.cluster.keep import KeepMap
from hfmodel_operator.cluster.labels import ANNOTATION_OUTCOME, LABEL_FETCH, LABEL_SOURCE
from hfmodel_operator.cluster.objects import labels_of, name_of, owner_uid, uid_of
from hfmodel_operator.cluster.observe import Look
from hfmodel_operator.cluster.prefetch import attempt_of, is_going, outcomes_to_note, prefetch_job
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.cluster.template import new_pod_name, pod_manifest
from hfmodel_operator.cluster.together import together
from hfmodel_operator.observed import ObservedModel, PodFailure
from hfmodel_operator.plan import CreatePod, DeletePod, Plan, Prefetch, RetirePod
from hfmodel_operator.source import Fetched, source_of

logger = logging.getLogger(__name__)

_GONE = (404, 409)
_REFUSED = (400, 403, 422)  # the server looked at a manifest and does not take it


class Applier:
    """Executes plans against the API server; every answer goes into the store, so that the next look sees it.

    Raises (from `apply`):
        KubeError: the server failed, or did not answer; then it is not known what was done.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        store: Store,
        hearing: Hearing,
        recorder: Recorder,
        settings: ClusterSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._api, self._store, self._hearing, self._recorder = api, store, hearing, recorder
        self._settings, self._now = settings, now
        self._keep_map = KeepMap(api, store=store, settings=settings, now=now)

    async def apply(self, plan: Plan, look: Look) -> dict[str, Book]:
        """Returns the books with what failed on the way, by the uid of the model."""
        books = dict(look.books)
        models = {model.model.id: model for model in look.awake.models}
        await together(self._delete(delete, models[delete.model_id], books) for delete in plan.deletes)
        await asyncio.gather(*(self._retire(retire) for retire in plan.retires))
        fetched = {create: _fetched(models[create.model_id], look) for create in plan.creates}
        fetches = bool(plan.prefetches) or None in fetched.values()
        keep = fetches and await self._keep_map.publish(look)
        await together(self._prefetch(each, models[each.model_id], books, keep=keep) for each in plan.prefetches)
        await together(
            self._create(create, models[create.model_id], fetched[create], books, keep=keep) for create in plan.creates
        )
        await together(self._write_status(models[model_id], status) for model_id, status in plan.statuses.items())
        self._recorder.transitions(look.awake, plan.statuses, now=self._now())
        return books

    async def note_outcomes(self) -> list[str]:
        """Keep what fetches said, on their Jobs, before their pods are cleaned up. Returns what is news."""
        noted = []
        for job, word in outcomes_to_note(self._store.all(JOBS), self._store.all(PODS)):
            body = {"metadata": {"uid": uid_of(job), "annotations": {ANNOTATION_OUTCOME: word}}}
            try:
                self._store.put(JOBS, await self._api.patch(JOBS, name_of(job), body))
                noted.append(word)
            except KubeError as error:
                if error.status not in _GONE:
                    raise
        return noted

    async def _delete(self, delete: DeletePod, model: ObservedModel, books: dict[str, Book]) -> None:
        if delete.failure is not None:
            books[model.model.uid] = books[model.model.uid].failed(delete.failure, self._now(), uid=delete.uid)
        try:
            answer = await self._api.delete(PODS, delete.pod, uid=delete.uid)
        except KubeError as error:
            if error.status not in _GONE:
                raise
            self._store.remove(PODS, delete.uid)
            return
        logger.info("event=pod_deleted model=%s pod=%s why=%s", delete.model_id, delete.pod, delete.why)
        self._deleted(delete.uid, answer)
        self._recorder.deleted(model.model, delete, now=self._now())

    def _deleted(self, uid: str, answer: Json) -> None:
        # A pod that no node runs is gone at once, and the answer has no deletionTimestamp, or no grace.
        metadata = answer.get("metadata") or {}
        if metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds"):
            self._store.put(PODS, answer)
        else:
            self._store.remove(PODS, uid)

    async def _retire(self, retire: RetirePod) -> None:
        pod = self._store.get(PODS, retire.uid)
        if pod is not None and self._api.may_write() and await self._hearing.retire(pod, retire.idle_for_seconds):
            logger.info("event=pod_retired model=%s pod=%s", retire.model_id, retire.pod)

    async def _prefetch(self, prefetch: Prefetch, model: ObservedModel, books: dict[str, Book], *, keep: bool) -> None:
        earlier = [job for job in self._jobs(model) if not is_going(job)]
        same = [job for job in earlier if labels_of(job).get(LABEL_SOURCE) == source_of(model.model).key]
        attempt = 1 + max(map(attempt_of, same), default=0)
        for job in earlier:
            await self._delete_job(job)
        try:
            manifest = prefetch_job(model.model, self._settings, attempt=attempt, keep=keep)
            job = await self._api.create(JOBS, manifest)
        except KubeError as error:
            if error.status not in _REFUSED:
                raise
            failure = _refusal(error, "Job that downloads the weights")
            books[model.model.uid] = books[model.model.uid].fetch_refused(failure, self._now())
            logger.warning("event=fetch_refused model=%s error=%s", prefetch.model_id, error)
            return
        self._store.put(JOBS, job)
        logger.info("event=fetch_started model=%s job=%s attempt=%d", prefetch.model_id, name_of(job), attempt)

    def _jobs(self, model: ObservedModel) -> list[Json]:
        return [
            job
            for job in self._store.all(JOBS)
            if labels_of(job).get(LABEL_FETCH) == model.model.id and owner_uid(job) == model.model.uid
        ]

    async def _delete_job(self, job: Json) -> None:
        try:
            await self._api.delete(JOBS, name_of(job), uid=uid_of(job))
        except KubeError as error:
            if error.status not in _GONE:
                raise
        self._store.remove(JOBS, uid_of(job))

    async def _create(
        self, create: CreatePod, model: ObservedModel, fetched: Fetched | None, books: dict[str, Book], *, keep: bool
    ) -> None:
        name = new_pod_name(model.model)
        manifest = pod_manifest(model.model, self._settings, name=name, fetched=fetched, keep=keep)
        try:
            pod = await self._api.create(PODS, manifest)
        except KubeError as error:
            if error.status not in _REFUSED:
                raise
            books[model.model.uid] = books[model.model.uid].failed(_refusal(error, "pod"), self._now())
            logger.warning("event=pod_refused model=%s error=%s", create.model_id, error)
            return
        self._store.put(PODS, pod)
        logger.info("event=pod_created model=%s pod=%s", create.model_id, name)
        self._recorder.record(model.model, "PodCreated", f"Created pod {name}", now=self._now())

    async def _write_status(self, model: ObservedModel, status: HFModelStatus) -> None:
        # A null removes what is not so any more; `demand` is the router's and is not touched.
        body = {
            "metadata": {"uid": model.model.uid},
            "status": status.model_dump(mode="json", by_alias=True, exclude={"demand"}),
        }
        try:
            self._store.put(HFMODELS, await self._api.patch(HFMODELS, model.model.id, body, part="status"))
        except KubeError as error:
            if error.status not in _GONE:
                raise


def _fetched(model: ObservedModel, look: Look) -> Fetched | None:
    # After a failed start the pod looks for itself whether the weights are there: the cache may have been emptied.
    return None if model.failures else look.seen[model.model.uid].fetched


def _refusal(error: KubeError, what: str) -> PodFailure:
    """Why the server does not take it: a quota, a policy, or a field that only it can judge."""
    reason = Reason.UNSCHEDULABLE if error.status == 403 else Reason.INVALID_SPEC
    return PodFailure(reason, f"the cluster refused the {what}: {error.message}", permanent=error.status != 403)
