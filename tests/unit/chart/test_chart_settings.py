"""Values reach operator and router as the settings that they read."""

import json
from pathlib import Path
from typing import Any

import pytest
from helm_python import HelmError

from hfmodel_api.spec import EnvVar, Resources
from hfmodel_operator.cluster.profiles import Profile
from hfmodel_operator.cluster.settings import ClusterSettings, TokenSecret
from hfmodel_operator.cluster.settings import settings_from_environment as operator_settings
from hfmodel_router.settings import RouterSettings
from hfmodel_router.settings import settings_from_environment as router_settings
from support.chart_environment import environment
from support.chart_installations import GPU_PROFILES, GPUS, INSTALLATIONS
from support.chart_values import nested
from support.helm import PROMETHEUS, Rendered, Values, render

ALL = [pytest.param(values, id=name) for name, values in INSTALLATIONS.items()]


def operator_of(rendered: Rendered, folder: Path) -> ClusterSettings:
    """Its settings; the ConfigMap is mounted at `folder`."""
    container = rendered.container("operator")
    variables = environment(container)
    if "HFMODEL_PROFILES" in variables:
        named = Path(variables["HFMODEL_PROFILES"])
        (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "profiles")
        assert str(named.parent) == mount["mountPath"]
        (folder / named.name).write_text(rendered.one("ConfigMap")["data"][named.name])
        variables["HFMODEL_PROFILES"] = str(folder / named.name)
    return operator_settings(variables)


def router_of(rendered: Rendered) -> RouterSettings:
    return router_settings(environment(rendered.container("router")))


@pytest.mark.parametrize("values", ALL)
def test_the_operator_accepts_its_environment(values: Values, tmp_path: Path) -> None:
    rendered = render(values, apis=[PROMETHEUS])
    settings = operator_of(rendered, tmp_path)
    assert (settings.namespace, settings.identity) == ("models", "pod-1")
    assert set(settings.profiles) == set(values.get("gpuProfiles", {}))
    assert rendered.container("operator")["command"] == ["hfmodel-operator", "run"]


@pytest.mark.parametrize("values", ALL)
def test_the_router_accepts_its_environment(values: Values) -> None:
    router_of(render(values, apis=[PROMETHEUS]))


def test_without_values_the_settings_are_the_parts_own() -> None:
    rendered = render()
    own = RouterSettings(drain_delay=10)
    assert router_of(rendered) == own
    assert operator_of(rendered, Path()) == ClusterSettings(
        namespace="models",
        identity="pod-1",
        image="hfmodel/runtime:0.1.0",
        gpu_image="hfmodel/runtime-gpu:0.1.0",
        cache_claim="hfmodel-cache",
        base_url="http://hfmodel-router.models.svc",
    )


OPERATOR = [
    ("images.pullPolicy", "Never", "image_pull_policy", "Never"),
    ("images.pullSecrets", ["a", "b"], "image_pull_secrets", ("a", "b")),
    ("images.registry", "r.example:5000/x", "image", "r.example:5000/x/hfmodel/runtime:0.1.0"),
    ("images.runtime.tag", "9", "image", "hfmodel/runtime:9"),
    ("images.runtimeGpu.tag", "9", "gpu_image", "hfmodel/runtime-gpu:9"),
    ("cache.existingClaim", "weights", "cache_claim", "weights"),
    ("cache.limit", "80Gi", "cache_limit", 80 * 2**30),
    ("cache.keeper", "berlin: models", "keeper", "berlin: models"),
    ("huggingface.token", "hf_x", "token_secret", TokenSecret("hfmodel-huggingface", "HF_TOKEN")),
    ("huggingface.existingSecret", {"name": "hub", "key": "k"}, "token_secret", TokenSecret("hub", "k")),
    ("huggingface.endpoint", "https://mirror.example.com/hub/", "hub_endpoint", "https://mirror.example.com/hub"),
    ("huggingface.offline", True, "hub_offline", True),
    (
        "fetch.extraEnv",
        [{"name": "A", "value": 'a "quoted" <word>'}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        "fetch_env",
        (EnvVar(name="A", value='a "quoted" <word>'), EnvVar(name="B", value_from={"secretKeyRef": {"name": "s"}})),
    ),
    (
        "fetch.resources",
        {"requests": None, "limits": {"memory": 8589934592, "cpu": "1"}},
        "fetch_resources",
        Resources(limits={"memory": 8589934592, "cpu": "1"}),
    ),
    ("baseUrl", "https://m.example", "base_url", "https://m.example"),
    ("runtime.maxLoadedModels", 3, "max_loaded_models", 3),
    ("runtime.port", 9000, "runtime_port", 9000),
    ("runtime.drainDelaySeconds", 7, "drain_delay", 7),
    ("runtime.drainTimeoutSeconds", 1000000, "drain_timeout", 1000000),
    ("operator.logLevel", "debug", "log_level", "debug"),
    ("operator.leaseSeconds", 30, "lease_seconds", 30),
    ("operator.resyncSeconds", 120, "resync_seconds", 120),
    ("operator.heartbeatSeconds", 0.5, "heartbeat_seconds", 0.5),
    ("operator.extraEnv", [{"name": "HFMODEL_LEASE_NAME", "value": "other"}], "lease_name", "other"),
]


@pytest.mark.parametrize(("path", "value", "setting", "expected"), OPERATOR, ids=[case[0] for case in OPERATOR])
def test_a_value_reaches_the_operator(path: str, value: Any, setting: str, expected: Any) -> None:
    settings = operator_of(render(nested(path, value)), Path())
    assert getattr(settings, setting) == expected
    assert getattr(operator_of(render(), Path()), setting) != expected


ROUTER = [
    ("router.logLevel", "debug", "log_level", "debug"),
    ("router.jsonLogs", True, "json_logs", True),
    ("router.metrics", False, "enable_metrics", False),
    ("router.apiKeys.existingSecret", {"name": "keys", "key": "all"}, "api_keys", ("keys/all",)),
    ("router.corsOrigins", ["https://a", "https://b"], "cors_origins", ("https://a", "https://b")),
    ("router.defaultModel", "smollm2", "default_model", "smollm2"),
    ("router.holdTimeoutSeconds", 12.5, "hold_timeout", 12.5),
    ("router.maxHeldPerModel", 10000000, "max_held_per_model", 10000000),
    ("router.maxHeldTotal", 10000000, "max_held_total", 10000000),
    ("router.maxConnections", 100, "max_connections", 100),
    ("router.maxBodyBytes", 1073741824, "max_body_bytes", 1073741824),
    ("router.drainDelaySeconds", 0, "drain_delay", 0),
    ("router.drainTimeoutSeconds", 60, "drain_timeout", 60),
    ("router.extraEnv", [{"name": "HFMODEL_RETRY_LIMIT", "value": "5"}], "retry_limit", 5),
]


@pytest.mark.parametrize(("path", "value", "setting", "expected"), ROUTER, ids=[case[0] for case in ROUTER])
def test_a_value_reaches_the_router(path: str, value: Any, setting: str, expected: Any) -> None:
    settings = router_of(render(nested(path, value)))
    assert getattr(settings, setting) == expected
    assert getattr(router_of(render()), setting) != expected


@pytest.mark.parametrize(
    "token", [nested("huggingface.token", "hf_x"), nested("huggingface.existingSecret.name", "hub")]
)
def test_the_router_knows_that_there_is_a_token_and_nothing_of_it(token: Values) -> None:
    assert environment(render(token).container("router"))["HFMODEL_HUB_TOKEN"] == "present"
    assert "HFMODEL_HUB_TOKEN" not in environment(render().container("router"))


def test_the_operator_expands_no_variable_of_a_fetch() -> None:
    variables = environment(
        render(nested("fetch.extraEnv", [{"name": "A", "value": "$(POD_NAME)"}])).container("operator")
    )
    # The kubelet makes one `$` of two.
    assert json.loads(variables["HFMODEL_FETCH_ENV"]) == [{"name": "A", "value": "$$(POD_NAME)"}]


@pytest.mark.parametrize("name", ["HOME", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HFMODEL_CACHE_LIMIT", "TWICE"])
def test_what_a_fetch_is_told_otherwise_is_refused(name: str) -> None:
    extra = [{"name": name, "value": "x"}] * (2 if name == "TWICE" else 1)
    with pytest.raises(HelmError, match=f"fetch.extraEnv: {name} is set already"):
        render(nested("fetch.extraEnv", extra))


def test_profiles_arrive_as_they_were_written(tmp_path: Path) -> None:
    found = operator_of(render(GPUS), tmp_path).profiles
    assert found == {name: Profile.model_validate(profile) for name, profile in GPU_PROFILES.items()}


def test_a_changed_profile_rolls_the_operator_and_nothing_else() -> None:
    before, after = render(GPUS), render({**GPUS, "gpuProfiles": {"any": {"runtimeClassName": "other"}}})
    assert before.pod("operator") != after.pod("operator")
    assert before.pod("router") == after.pod("router")
    assert before.pod("operator")["spec"] == after.pod("operator")["spec"]


@pytest.mark.parametrize(
    ("component", "name"), [("operator", "HFMODEL_LOG_LEVEL"), ("router", "WATCH_NAMESPACE"), ("router", "TWICE")]
)
def test_a_variable_is_set_once(component: str, name: str) -> None:
    extra = [{"name": name, "value": "x"}] * (2 if name == "TWICE" else 1)
    with pytest.raises(HelmError, match=f"{component}.extraEnv: {name} is set already"):
        render(nested(f"{component}.extraEnv", extra))
