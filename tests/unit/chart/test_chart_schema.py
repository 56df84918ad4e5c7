"""A wrong value is refused before anything is made, by a sentence that names it."""

from typing import Any

import pytest
from helm_python import HelmValuesError

from hfmodel_operator.cluster.profiles import Profile
from support.chart_installations import INSTALLATIONS
from support.chart_values import leaves, nested
from support.helm import Json, Values, chart, render

WRONG = [
    ("operator.replicas", "two"),
    ("operator.replicas", -1),
    ("operator.logLevel", "loud"),
    ("operator.leaseSeconds", 0),
    ("operator.heartbeatSeconds", 0),
    ("operator.extraEnv", [{"value": "no name"}]),
    ("operator.extraEnv", [{"name": "A", "value": 1}]),
    ("operator.serviceAccount.name", "Not A Name"),
    ("router.holdTimeoutSeconds", "5m"),
    ("router.holdTimeoutSeconds", -1),
    ("router.maxHeldTotal", 0),
    ("router.corsOrigins", ["https://a,https://b"]),
    ("router.service.type", "Loadbalancer"),
    ("router.service.port", 0),
    ("router.service.port", 70000),
    ("router.httpRoute.parentRefs", [{"namespace": "gateways"}]),
    ("router.podDisruptionBudget.maxUnavailable", 0),
    ("router.podDisruptionBudget.maxUnavailable", "half"),
    ("router.autoscaling.enabled", "yes"),
    ("router.nodeSelector", {"gpu": True}),
    ("images.pullPolicy", "Sometimes"),
    ("images.registry", "https://registry.example.com"),
    ("images.runtime.repository", "hfmodel/runtime:latest"),
    ("images.operator.digest", "abc"),
    ("cache.size", "much"),
    ("cache.limit", "much"),
    ("cache.limit", 80),
    ("cache.accessModes", []),
    ("cache.accessModes", ["ReadOnlyMany"]),
    ("huggingface.endpoint", "mirror.example.com"),
    ("huggingface.endpoint", "https://user:secret@mirror.example.com"),
    ("huggingface.offline", "yes"),
    ("fetch.extraEnv", [{"name": "HTTPS_PROXY", "value": 3128}]),
    ("fetch.resources", {"limits": {"memory": "much"}}),
    ("fetch.resources", {"requests": {"cpu": -1}}),
    ("runtime.maxLoadedModels", 1.5),
    ("runtime.port", "http"),
    ("runtime.drainDelaySeconds", 0),
    ("baseUrl", "models.example.com"),
    ("baseUrl", "https://models.example.com/"),
    ("monitoring.interval", 30),
    ("rbac.create", "true"),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{path}={value!r}" for path, value in WRONG])
def test_a_wrong_value_is_refused_by_name(path: str, value: Any) -> None:
    with pytest.raises(HelmValuesError) as refused:
        render(nested(path, value))
    assert f"'/{path.replace('.', '/')}" in str(refused.value)


def groups(values: Values) -> list[str]:
    paths = {path.rpartition(".")[0] for path, _ in leaves(values)}
    return sorted({path for full in paths for path in _upwards(full)})


def _upwards(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]


@pytest.mark.parametrize("group", groups(chart().values), ids=lambda path: path or "top")
def test_an_unknown_value_is_refused_wherever_it_stands(group: str) -> None:
    path = f"{group}.mispelt" if group else "mispelt"
    with pytest.raises(HelmValuesError, match="additional properties 'mispelt' not allowed"):
        render(nested(path, 1))


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        pytest.param({"a100": {"runtimeClass": "nvidia"}}, "'runtimeClass' not allowed", id="unknown field"),
        pytest.param({"a100": {"nodeSelector": {"a": 1}}}, "/gpuProfiles/a100/nodeSelector/a", id="number for a text"),
        pytest.param({"A100": {}}, "'A100'", id="no DNS name"),
        pytest.param({"a100": {"resourceName": ""}}, "/gpuProfiles/a100/resourceName", id="empty"),
    ],
)
def test_a_wrong_profile_is_refused_by_name(profile: Json, words: str) -> None:
    with pytest.raises(HelmValuesError, match=words):
        render({"gpuProfiles": profile})


def test_a_profile_has_the_fields_that_the_operator_reads() -> None:
    schema = chart().schema
    assert schema is not None
    known = {field.alias for field in Profile.model_fields.values()}
    assert set(schema["properties"]["gpuProfiles"]["additionalProperties"]["properties"]) == known


@pytest.mark.parametrize("values", INSTALLATIONS.values(), ids=INSTALLATIONS)
def test_right_values_are_accepted(values: Values) -> None:
    chart().validate_schema(dict(values))


def test_the_chart_can_be_part_of_another() -> None:
    assert render({"global": {"imageRegistry": "r.example"}}).objects == render().objects
