"""What must stay in the cache of a cluster, and the ConfigMap that tells it to whoever fetches."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hfmodel_operator.cluster.api import CONFIGMAPS, HFMODELS, PODS, Json, KubeApi, KubeError, Resource
from hfmodel_operator.cluster.keep import KeepMap
from hfmodel_operator.cluster.labels import KEEP_MAP
from hfmodel_operator.cluster.objects import name_of, uid_of
from hfmodel_operator.cluster.observe import Picture, observe
from hfmodel_operator.cluster.prefetch import prefetch_job
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.cluster.template import pod_manifest, template_hash
from hfmodel_operator.observed import Settings
from hfmodel_operator.source import Fetched
from support.kube_objects import CREATED, NOON, SETTINGS, container, hfmodel, job_object, model_object

OLD, NEW = (f"/cache/models/org--tiny/{digit * 40}" for digit in "ab")
LIMITED = replace(SETTINGS, cache_limit=40 * 2**30)


class Api(KubeApi):
    """Has one ConfigMap; refuses with `status` if that is set."""

    def __init__(self, *, status: int = 0) -> None:
        self.status, self.there = status, False
        self.data: dict[str, str] = {}

    async def patch(self, resource: Resource, name: str, body: Json, *, part: str = "") -> Json:
        assert (resource, name, part) == (CONFIGMAPS, KEEP_MAP, "")
        if self.status:
            raise KubeError(self.status, "no")
        if not self.there:
            raise KubeError(404, "none")
        merged = {**self.data, **body["data"]}
        self.data = {key: value for key, value in merged.items() if value is not None}
        return {}

    async def create(self, resource: Resource, manifest: Json) -> Json:
        assert (resource, name_of(manifest)) == (CONFIGMAPS, KEEP_MAP)
        self.there, self.data = True, manifest["data"]
        return {}


def pod_of(*, fetched: Fetched | None, going: bool = False, said: str = "", **spec: Any) -> Json:
    """A serving pod as the operator made it once."""
    pod = pod_manifest(hfmodel(**spec), SETTINGS, name="tiny-1", fetched=fetched)
    pod["metadata"] |= {"uid": "p1", "resourceVersion": "1", "creationTimestamp": CREATED}
    if going:
        pod["metadata"]["deletionTimestamp"] = CREATED
    ended = container({"terminated": {"exitCode": 0, "message": said}}, name="fetch")
    return {**pod, "status": {"initContainerStatuses": [ended] if said else []}}


def picture(*models: Json, pods: tuple[Json, ...] = (), jobs: tuple[Json, ...] = ()) -> Picture:
    return Picture(models=models, pods=pods, jobs=jobs)


async def published(seen: Picture, *, settings: ClusterSettings = LIMITED, api: Api | None = None) -> Mapping[str, str]:
    store = Store(lambda: None)
    for resource, things in ((HFMODELS, seen.models), (PODS, seen.pods)):
        for thing in things:
            store.put(resource, thing)
    used = api or Api()
    keep_map = KeepMap(used, store=store, settings=settings, now=lambda: NOON)
    await keep_map.publish(observe(seen, settings, Settings(), NOON))
    return used.data


async def kept(*models: Json, pods: tuple[Json, ...] = (), jobs: tuple[Json, ...] = ()) -> list[str]:
    return (await published(picture(*models, pods=pods, jobs=jobs)))["HFMODEL_CACHE_KEEP"].split()


def done_job(path: str, **spec: Any) -> Json:
    word = f'{{"event": "done", "path": "{path}", "revision": "abc", "bytes": 7}}'
    return job_object(hfmodel(**spec), ended="Complete", annotations={"hfmodel.dev/outcome": word})


async def test_a_fetch_is_told_all_that_it_asks() -> None:
    assert await published(picture(model_object())) == {
        "HFMODEL_CACHE_LIMIT": str(40 * 2**30),
        "HFMODEL_CACHE_KEEPER": "models/hfmodel-operator",
        "HFMODEL_CACHE_KEEP": "org/tiny",
        "HFMODEL_CACHE_KEEP_AS_OF": f"{NOON.timestamp():.3f}",
    }


async def test_without_a_limit_others_are_told_all_the_same() -> None:
    data = await published(picture(model_object()), settings=SETTINGS)
    assert "HFMODEL_CACHE_LIMIT" not in data
    assert data["HFMODEL_CACHE_KEEP"] == "org/tiny"


async def test_a_limit_that_is_lifted_goes() -> None:
    api = Api()
    await published(picture(model_object()), api=api)
    await published(picture(model_object()), api=api, settings=SETTINGS)
    assert "HFMODEL_CACHE_LIMIT" not in api.data


async def test_a_model_is_named_by_what_its_fetch_printed() -> None:
    assert await kept(model_object(), jobs=(done_job(NEW),)) == [NEW]


async def test_a_running_older_commit_stays() -> None:
    assert await kept(model_object(), pods=(pod_of(fetched=Fetched(OLD)),), jobs=(done_job(NEW),)) == [OLD, NEW]


async def test_a_pod_whose_model_is_being_deleted_keeps_what_it_serves() -> None:
    thing = model_object()
    thing["metadata"]["deletionTimestamp"] = CREATED
    assert await kept(thing, pods=(pod_of(fetched=Fetched(OLD), going=True),)) == [OLD]


async def test_a_pod_that_fetched_by_itself_keeps_what_it_found() -> None:
    word = f'{{"event": "done", "path": "{OLD}", "revision": "abc", "bytes": 7}}'
    changed = model_object(revision="v2")
    assert await kept(changed, pods=(pod_of(fetched=None, said=word),)) == [OLD, "org/tiny"]


async def test_a_pod_that_still_fetches_keeps_what_it_may_find() -> None:
    changed = model_object(model="org/other")
    assert await kept(changed, pods=(pod_of(fetched=None),)) == ["org/other", "org/tiny"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        pytest.param("/llm", ["local--llm"], id="a folder"),
        pytest.param("/llm.gguf", ["local--llm", "local--llm.gguf"], id="a file"),
        pytest.param("/", ["local--source"], id="the whole volume"),
        pytest.param("/my llm", ["local--my-llm"], id="spaces"),
    ],
)
async def test_what_comes_from_a_volume_is_named_as_its_conversion(path: str, names: list[str]) -> None:
    assert await kept(model_object(source={"pvc": {"claimName": "weights", "path": path}})) == names


async def test_what_is_served_from_the_cache_itself_stays() -> None:
    spec: Json = {"source": {"pvc": {"claimName": "cache", "path": NEW.removeprefix("/cache")}}}
    assert await kept(model_object(**spec)) == [NEW]
    served = Fetched(NEW.replace("/cache", "/source"))
    assert await kept(pods=(pod_of(fetched=served, **spec),)) == [NEW]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        pytest.param({"maxLength": "long"}, ["org/tiny"], id="a wrong field"),
        pytest.param({"model": "no repo at all"}, [], id="no repository"),
        pytest.param({"model": None}, [], id="no model"),
    ],
)
async def test_a_spec_that_the_schema_refuses_keeps_its_weights(spec: Json, names: list[str]) -> None:
    assert await kept(model_object(**spec)) == names


async def test_a_list_that_is_too_long_is_told_once_and_no_fetch_goes_by_an_old_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    things = []
    for number in range(700):
        thing = model_object(uid=f"m{number}", model=f"org/{'x' * 190}{number:04}")
        thing["metadata"]["name"] = f"m{number}"
        things.append(thing)
    api, store = Api(), Store(lambda: None)
    keep_map = KeepMap(api, store=store, settings=LIMITED, now=lambda: NOON)
    look = observe(picture(*things), LIMITED, Settings(), NOON)
    with caplog.at_level(logging.WARNING):
        assert [await keep_map.publish(look) for _ in range(2)] == [False, False]
    assert not api.there
    assert [record.message.split()[0] for record in caplog.records] == ["event=keep_list_too_long"]
    assert await keep_map.publish(observe(picture(things[0]), LIMITED, Settings(), NOON))


@pytest.mark.parametrize("status", [403, 422])
async def test_a_server_that_refuses_the_list_stops_no_fetch(status: int, caplog: pytest.LogCaptureFixture) -> None:
    assert await published(picture(model_object()), api=Api(status=status)) == {}
    assert "event=keep_list_refused" in caplog.text


async def test_a_server_that_fails_is_asked_again() -> None:
    with pytest.raises(KubeError, match="no"):
        await published(picture(model_object()), api=Api(status=500))


def variables(fetch: Json) -> dict[str, Json]:
    return {each["name"]: each["valueFrom"]["configMapKeyRef"] for each in fetch["env"] if "CACHE" in each["name"]}


@pytest.mark.parametrize("keep", [True, False])
def test_every_container_that_fetches_goes_by_it_or_none(keep: bool) -> None:
    job = prefetch_job(hfmodel(), LIMITED, attempt=1, keep=keep)["spec"]["template"]["spec"]["containers"][0]
    pod = pod_manifest(hfmodel(), LIMITED, name="tiny-1", fetched=None, keep=keep)["spec"]["initContainers"][0]
    names = {f"HFMODEL_CACHE_{each}" for each in ("LIMIT", "KEEPER", "KEEP", "KEEP_AS_OF")}
    for found in map(variables, (job, pod)):
        assert set(found) == (names if keep else set())
        assert all(each == {"name": KEEP_MAP, "key": key, "optional": True} for key, each in found.items())


def test_no_pod_is_replaced_for_what_must_stay() -> None:
    assert template_hash(hfmodel(), LIMITED) == template_hash(hfmodel(), SETTINGS)
    made = [pod_manifest(hfmodel(), LIMITED, name="p", fetched=None, keep=keep) for keep in (True, False)]
    assert made[0]["metadata"] == made[1]["metadata"]
    assert uid_of(pod_of(fetched=None)) == "p1"
