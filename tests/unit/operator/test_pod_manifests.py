"""The pod and the Job that a model asks for."""

from dataclasses import replace
from typing import Any

import pytest

from hfmodel_api.names import LABEL_MODEL
from hfmodel_api.spec import EnvVar, Resources
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.labels import LABEL_FETCH
from hfmodel_operator.cluster.prefetch import prefetch_job
from hfmodel_operator.cluster.profiles import Profile
from hfmodel_operator.cluster.settings import ClusterSettings, TokenSecret
from hfmodel_operator.cluster.template import pod_manifest, template_hash
from hfmodel_operator.source import Fetched
from support.kube_objects import SETTINGS, hfmodel

A100 = Profile(
    resource_name="nvidia.com/gpu",
    node_selector={"gpu": "a100"},
    tolerations=({"key": "gpu", "operator": "Exists"},),
    runtime_class_name="nvidia",
)
WITH_GPUS = replace(SETTINGS, profiles={"a100": A100})
FETCHED = Fetched(path="/cache/models/org--tiny/abc", revision="abc", bytes=7)


def pod(*, fetched: Fetched | None = FETCHED, settings: ClusterSettings = SETTINGS, **spec: Any) -> Json:
    return pod_manifest(hfmodel(**spec), settings, name="tiny-1", fetched=fetched)


def serve(manifest: Json) -> Json:
    (container,) = manifest["spec"]["containers"]
    return dict(container)


def job_spec(*, settings: ClusterSettings = SETTINGS, **spec: Any) -> Json:
    return dict(prefetch_job(hfmodel(**spec), settings, attempt=1)["spec"]["template"]["spec"])


def fetches(settings: ClusterSettings, **spec: Any) -> list[Json]:
    """The container that fetches, of the Job and of a pod that fetches for itself."""
    (init,) = pod(fetched=None, settings=settings, **spec)["spec"]["initContainers"]
    (container,) = job_spec(settings=settings, **spec)["containers"]
    return [init, container]


POD_SPECS = [
    pytest.param(pod()["spec"], id="cached"),
    pytest.param(pod(fetched=None)["spec"], id="fetches"),
    pytest.param(job_spec(), id="job"),
]


@pytest.mark.parametrize("spec", POD_SPECS)
def test_every_pod_keeps_the_restricted_pod_security_standard(spec: Json) -> None:
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
    assert {kind for volume in spec["volumes"] for kind in volume} <= {"name", "persistentVolumeClaim", "emptyDir"}


@pytest.mark.parametrize("spec", POD_SPECS)
def test_every_mount_has_its_volume(spec: Json) -> None:
    volumes = {volume["name"] for volume in spec["volumes"]}
    containers = (*spec["containers"], *spec.get("initContainers", ()))
    assert {mount["name"] for container in containers for mount in container["volumeMounts"]} <= volumes


def test_only_the_container_that_fetches_sees_the_token_and_writes_the_cache() -> None:
    manifest = pod(fetched=None, tokenSecretRef={"name": "hub", "key": "token"})
    (fetch,) = manifest["spec"]["initContainers"]
    tokens = [variable for variable in fetch["env"] if variable["name"] == "HF_TOKEN"]
    assert tokens == [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}]
    assert not any(variable["name"] == "HF_TOKEN" for variable in serve(manifest)["env"])
    cache = {container["name"]: container["volumeMounts"][0]["readOnly"] for container in (fetch, serve(manifest))}
    assert cache == {"fetch": False, "serve": True}


def test_the_token_of_the_installation_is_for_models_that_name_none() -> None:
    settings = replace(SETTINGS, token_secret=TokenSecret("shared"))
    (fetch,) = pod(fetched=None, settings=settings)["spec"]["initContainers"]
    assert fetch["env"][-1]["valueFrom"]["secretKeyRef"] == {"name": "shared", "key": "HF_TOKEN", "optional": True}


CLOSED = replace(
    SETTINGS,
    hub_endpoint="https://mirror.example.com",
    hub_offline=True,
    fetch_env=(
        EnvVar(name="HTTPS_PROXY", value_from={"secretKeyRef": {"name": "proxy", "key": "url"}}),
        EnvVar(name="SSL_CERT_FILE", value="/cache/ca.pem"),
    ),
    fetch_resources=Resources(requests={"cpu": 1}, limits={"memory": "8Gi"}),
)


def test_whatever_fetches_goes_by_the_mirror_and_proxy_of_the_installation() -> None:
    given = [
        {"name": "HF_ENDPOINT", "value": "https://mirror.example.com"},
        {"name": "HF_HUB_OFFLINE", "value": "1"},
        {"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
        {"name": "SSL_CERT_FILE", "value": "/cache/ca.pem"},
    ]
    for container in fetches(CLOSED, env=[{"name": "OF_SERVING", "value": "x"}]):
        assert [each for each in container["env"] if each in given] == given
        assert "OF_SERVING" not in {each["name"] for each in container["env"]}
    names = {each["name"] for each in serve(pod(settings=CLOSED))["env"]}
    assert not names & {"HF_ENDPOINT", "HTTPS_PROXY", "SSL_CERT_FILE"}


def test_without_a_word_on_it_a_fetch_asks_the_hub_itself() -> None:
    for container in fetches(SETTINGS):
        assert [each["name"] for each in container["env"] if not each["name"].startswith("HFMODEL_CACHE")] == ["HOME"]


def test_the_mirror_of_a_model_goes_before_that_of_the_installation() -> None:
    for container in fetches(CLOSED, source={"hub": {"endpoint": "https://own.example.com"}}):
        assert container["args"][container["args"].index("--endpoint") + 1] == "https://own.example.com"


def test_a_fetch_asks_for_what_it_needs_whatever_the_model_needs_to_serve() -> None:
    for container in fetches(SETTINGS, gpu={}, resources={"limits": {"memory": "80Gi"}}):
        assert container["resources"] == {"requests": {"cpu": "100m", "memory": "512Mi"}}
    for container in fetches(CLOSED):
        assert container["resources"] == {"requests": {"cpu": 1}, "limits": {"memory": "8Gi"}}


def test_no_pod_is_replaced_for_how_weights_are_fetched() -> None:
    assert template_hash(hfmodel(), CLOSED) == template_hash(hfmodel(), SETTINGS)


ZONE: Json = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}
BESIDE: Json = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}
LIKES_A100 = {"weight": 100, "preference": {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}}


def test_a_job_fetches_where_the_model_may_run() -> None:
    tolerated = [{"key": "tenant", "operator": "Exists"}]
    spec = job_spec(
        nodeSelector={"zone": "b"},
        tolerations=tolerated,
        affinity={"nodeAffinity": ZONE, "podAffinity": BESIDE, "podAntiAffinity": BESIDE},
        serviceAccountName="tenant",
        priorityClassName="high",
    )
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"zone": "b"}, tolerated)
    assert spec["affinity"] == {"nodeAffinity": ZONE}
    assert spec["serviceAccountName"] == "tenant"
    assert "priorityClassName" not in spec


def test_a_job_needs_no_gpu_and_may_run_where_one_is() -> None:
    spec = job_spec(settings=WITH_GPUS, gpu={"profile": "a100"}, affinity={"nodeAffinity": ZONE})
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["affinity"]["nodeAffinity"] == {**ZONE, "preferredDuringSchedulingIgnoredDuringExecution": [LIKES_A100]}
    assert not {"nodeSelector", "runtimeClassName"} & set(spec)
    assert "nvidia.com/gpu" not in str(spec["containers"])


def test_a_job_that_nothing_binds_runs_anywhere() -> None:
    assert not {"nodeSelector", "tolerations", "affinity", "serviceAccountName"} & set(job_spec())


def test_a_cached_model_is_served_from_where_it_lies() -> None:
    manifest = pod()
    assert "initContainers" not in manifest["spec"]
    assert {"--model-dir=/cache/models/org--tiny/abc", "--revision=abc"} <= set(serve(manifest)["args"])


def test_a_model_that_is_not_cached_is_served_from_where_its_fetch_points() -> None:
    manifest = pod(fetched=None)
    (fetch,) = manifest["spec"]["initContainers"]
    link = fetch["args"][fetch["args"].index("--link") + 1]
    assert f"--model-dir={link}" in serve(manifest)["args"]


def test_what_serves_asks_the_hub_nothing() -> None:
    env = serve(pod(env=[{"name": "HF_HUB_OFFLINE", "value": "0"}, {"name": "A", "value": "b"}]))["env"]
    assert {"name": "A", "value": "b"} in env
    assert [variable["value"] for variable in env if variable["name"] == "HF_HUB_OFFLINE"] == ["1"]


def test_a_gpu_profile_says_where_the_pod_runs() -> None:
    manifest = pod(settings=WITH_GPUS, gpu={"profile": "a100", "count": 2}, nodeSelector={"zone": "b"})
    spec = manifest["spec"]
    assert spec["nodeSelector"] == {"gpu": "a100", "zone": "b"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["runtimeClassName"] == "nvidia"
    assert serve(manifest)["resources"] == {"requests": {"nvidia.com/gpu": 2}, "limits": {"nvidia.com/gpu": 2}}


def test_any_gpu_will_do_where_no_profile_is_named() -> None:
    manifest = pod(settings=WITH_GPUS, gpu={"count": 2})
    assert serve(manifest)["resources"] == {"requests": {"nvidia.com/gpu": 2}, "limits": {"nvidia.com/gpu": 2}}
    assert not {"nodeSelector", "tolerations", "runtimeClassName"} & set(manifest["spec"])


IMAGES = replace(SETTINGS, gpu_image="gpu:1", profiles={"plain": Profile(), "rocm": Profile(image="rocm:1")})


@pytest.mark.parametrize(
    ("spec", "settings", "serves", "fetches"),
    [
        pytest.param({}, IMAGES, "runtime:1", "runtime:1", id="no GPU"),
        pytest.param({"gpu": {}}, IMAGES, "gpu:1", "runtime:1", id="any GPU"),
        pytest.param({"gpu": {"profile": "plain"}}, IMAGES, "gpu:1", "runtime:1", id="a profile without an image"),
        pytest.param({"gpu": {"profile": "rocm"}}, IMAGES, "rocm:1", "runtime:1", id="a profile with an image"),
        pytest.param({"gpu": {}}, SETTINGS, "runtime:1", "runtime:1", id="an installation without a GPU image"),
        pytest.param({"gpu": {"profile": "rocm"}, "image": "own:1"}, IMAGES, "own:1", "own:1", id="the model's own"),
    ],
)
def test_gpus_have_an_image_of_their_own(spec: Json, settings: ClusterSettings, serves: str, fetches: str) -> None:
    manifest = pod(fetched=None, settings=settings, **spec)
    assert serve(manifest)["image"] == serves
    assert [container["image"] for container in manifest["spec"]["initContainers"]] == [fetches]
    job = prefetch_job(hfmodel(**spec), settings, attempt=1)
    assert [container["image"] for container in job["spec"]["template"]["spec"]["containers"]] == [fetches]


def test_the_pod_belongs_to_its_model() -> None:
    metadata = pod()["metadata"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["name"], owner["uid"], owner["controller"]) == ("tiny", "m1", True)
    assert metadata["labels"][LABEL_MODEL] == "tiny"


def test_there_is_time_to_drain_before_the_kubelet_kills() -> None:
    spec = pod()["spec"]
    assert spec["terminationGracePeriodSeconds"] > SETTINGS.drain_delay + SETTINGS.drain_timeout


def test_a_model_on_a_volume_is_read_from_there() -> None:
    manifest = pod(fetched=None, source={"pvc": {"claimName": "weights", "path": "/llm"}})
    (fetch,) = manifest["spec"]["initContainers"]
    assert fetch["args"][fetch["args"].index("--path") + 1] == "/source/llm"
    assert {"name": "source", "persistentVolumeClaim": {"claimName": "weights"}} in manifest["spec"]["volumes"]
    for container in (fetch, serve(manifest)):
        assert {"name": "source", "mountPath": "/source", "readOnly": True} in container["volumeMounts"]


def test_nobody_takes_a_pod_that_fetches_for_one_that_serves() -> None:
    template = prefetch_job(hfmodel(), SETTINGS, attempt=3)["spec"]["template"]
    assert LABEL_MODEL not in template["metadata"]["labels"]
    assert template["metadata"]["labels"][LABEL_FETCH] == "tiny"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"maxLength": 5}, id="an option of the runtime"),
        pytest.param({"image": "other:1"}, id="the image"),
        pytest.param({"revision": "v2"}, id="the revision"),
        pytest.param({"resources": {"limits": {"cpu": 2}}}, id="resources"),
        pytest.param({"env": [{"name": "A", "value": "b"}]}, id="environment"),
        pytest.param({"source": {"hub": {"endpoint": "https://mirror"}}}, id="the mirror"),
    ],
)
def test_what_a_pod_is_made_of_calls_for_a_new_one(spec: Json) -> None:
    assert template_hash(hfmodel(**spec), SETTINGS) != template_hash(hfmodel(), SETTINGS)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"description": "a model"}, id="the description"),
        pytest.param({"scaling": {"maxReplicas": 3, "startTimeout": "1h"}}, id="scaling"),
        pytest.param({"tokenSecretRef": {"name": "hub"}}, id="the token"),
        pytest.param({"cache": {"prefetch": False}}, id="prefetch"),
    ],
)
def test_what_no_pod_is_made_of_calls_for_none(spec: Json) -> None:
    assert template_hash(hfmodel(**spec), SETTINGS) == template_hash(hfmodel(), SETTINGS)


def test_a_long_id_makes_a_job_name_that_fits_a_label() -> None:
    model = hfmodel().model_copy(update={"id": "a" * 44 + "." + "b" * 18})
    name = prefetch_job(model, SETTINGS, attempt=1)["metadata"]["name"]
    assert len(name) <= 63
    assert ".-" not in name
