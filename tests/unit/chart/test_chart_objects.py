"""What values make of single objects, and what no value may change."""

from typing import Any

import pytest
from helm_python import HelmError

from hfmodel_operator.cluster.labels import OURS
from support.chart_installations import CLOSED, EVERYTHING, EXISTING, GATEWAY, HIGHLY_AVAILABLE, INGRESS, MINIMAL
from support.chart_values import merged, nested
from support.helm import Values, render

SELECTOR = {"app.kubernetes.io/name": "hfmodel", "app.kubernetes.io/instance": "hfmodel"}


@pytest.mark.parametrize("component", ["operator", "router"])
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_selectors_are_for_ever(component: str, values: Values) -> None:
    # Written out: a Deployment's selector cannot be changed, so no later chart may render another one.
    rendered = render(values)
    selector = {**SELECTOR, "app.kubernetes.io/component": component}
    assert rendered.one("Deployment", f"hfmodel-{component}")["spec"]["selector"]["matchLabels"] == selector
    assert selector.items() <= rendered.pod(component)["metadata"]["labels"].items()


def test_the_version_of_the_chart_alone_rolls_no_pod() -> None:
    for component in ("operator", "router"):
        assert "helm.sh/chart" not in render().pod(component)["metadata"]["labels"]


@pytest.mark.parametrize("name", ["hfmodel", "my-hfmodel", "prod"])
def test_releases_of_other_names_share_nothing(name: str) -> None:
    names = {found["metadata"]["name"] for found in render(name=name).objects}
    others = {found["metadata"]["name"] for found in render(name="other").objects}
    assert not names & others
    assert all(found.startswith(name) for found in names)


def test_a_release_with_dots_has_a_service_without() -> None:
    assert render(name="team.a").one("Service")["metadata"]["name"] == "team-a-hfmodel-router"


def test_names_can_be_given() -> None:
    rendered = render({"fullnameOverride": "llm", "nameOverride": "models"})
    assert rendered.one("Service")["metadata"]["name"] == "llm-router"
    assert rendered.one("Service")["spec"]["selector"]["app.kubernetes.io/name"] == "models"


def test_weights_outlive_the_release_unless_told() -> None:
    keep = "helm.sh/resource-policy"
    assert render().one("PersistentVolumeClaim")["metadata"]["annotations"] == {keep: "keep"}
    assert "annotations" not in render({"cache": {"keep": False}}).one("PersistentVolumeClaim")["metadata"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("", None, id="the cluster's default"),
        pytest.param("-", "", id="none"),
        pytest.param("nfs", "nfs", id="by name"),
    ],
)
def test_the_storage_class_of_the_cache(name: str, expected: str | None) -> None:
    claim = render({"cache": {"storageClassName": name}}).one("PersistentVolumeClaim")
    assert claim["spec"].get("storageClassName") == expected


def test_what_is_there_already_is_used() -> None:
    rendered = render(EXISTING)
    assert rendered.kinds & {"PersistentVolumeClaim", "Secret"} == set()
    assert rendered.container("router")["image"].startswith("registry.example.com:5000/team/hfmodel/operator:")
    assert rendered.pod("operator")["spec"]["imagePullSecrets"] == [{"name": "first"}, {"name": "second"}]


def test_two_tokens_are_one_too_many() -> None:
    with pytest.raises(HelmError, match=r"huggingface: set token or existingSecret\.name, not both"):
        render({"huggingface": {"token": "hf_x", "existingSecret": {"name": "hub"}}})


def test_autoscaling_leaves_replicas_alone() -> None:
    rendered = render(HIGHLY_AVAILABLE)
    assert "replicas" not in rendered.one("Deployment", "hfmodel-router")["spec"]
    target = rendered.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hfmodel-router"}


def test_autoscaling_on_an_old_server_is_refused_in_words() -> None:
    with pytest.raises(HelmError, match=r"no autoscaling/v2 .* set router\.replicas instead"):
        render({"router": {"autoscaling": {"enabled": True}}}, kubernetes="1.22")


@pytest.mark.parametrize(("version", "made"), [("1.20", False), ("1.21", True), ("1.37", True)])
def test_a_disruption_budget_is_made_where_the_server_has_it(version: str, made: bool) -> None:
    rendered = render(kubernetes=version)
    assert ("PodDisruptionBudget" in rendered.kinds) is made
    assert ("no PodDisruptionBudget" in rendered.notes) is not made


def test_a_route_needs_a_gateway() -> None:
    with pytest.raises(HelmError, match=r"router\.httpRoute\.parentRefs: name the Gateway"):
        render({"router": {"httpRoute": {"enabled": True}}})


@pytest.mark.parametrize(
    ("values", "url"),
    [
        pytest.param({}, "http://hfmodel-router.models.svc", id="the Service"),
        pytest.param(nested("router.service.port", 8080), "http://hfmodel-router.models.svc:8080", id="another port"),
        pytest.param(INGRESS, "https://models.example.com", id="an Ingress with TLS"),
        pytest.param(
            nested("router.ingress", {"enabled": True, "hosts": ["m.example"]}), "http://m.example", id="an Ingress"
        ),
        pytest.param(nested("router.ingress.enabled", True), "http://hfmodel-router.models.svc", id="no host"),
        pytest.param(GATEWAY, "http://hfmodel-router.models.svc", id="a Gateway, whose scheme is not known"),
        pytest.param(merged(INGRESS, {"baseUrl": "https://a.example/x"}), "https://a.example/x", id="as told"),
    ],
)
def test_the_address_in_the_status_of_models(values: Values, url: str) -> None:
    variables = {found["name"]: found.get("value") for found in render(values).container("operator")["env"]}
    assert variables["HFMODEL_BASE_URL"] == url


def test_traffic_reaches_the_router() -> None:
    rendered = render(merged(INGRESS, GATEWAY))
    (port,) = rendered.one("Service")["spec"]["ports"]
    assert port["targetPort"] in {found["name"] for found in rendered.container("router")["ports"]}
    for rule in rendered.one("Ingress")["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["backend"]["service"] == {"name": "hfmodel-router", "port": {"name": port["name"]}}
    (route,) = rendered.one("HTTPRoute")["spec"]["rules"]
    assert route["backendRefs"] == [{"name": "hfmodel-router", "port": port["port"]}]


@pytest.mark.parametrize("delay", [0, 10, 600])
def test_the_kubelet_waits_for_the_drain(delay: int) -> None:
    values = {"router": {"drainDelaySeconds": delay, "drainTimeoutSeconds": 300}}
    spec = render(values).pod("router")["spec"]
    assert spec["terminationGracePeriodSeconds"] > delay + 300


def test_a_slow_api_server_does_not_cost_the_router_its_life() -> None:
    probes = render().container("router")
    assert probes["startupProbe"]["failureThreshold"] * probes["startupProbe"]["periodSeconds"] >= 300
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_only_router_and_operator_reach_models() -> None:
    rendered = render(CLOSED)
    policy = rendered.one("NetworkPolicy", "hfmodel-runtime")["spec"]
    assert policy["podSelector"]["matchLabels"] == OURS
    callers = policy["ingress"][0]["from"]
    components = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in callers if "podSelector" in peer
    ]
    assert components == ["router", "operator"]
    assert callers[2:] == CLOSED["networkPolicy"]["metricsFrom"]


def test_only_those_who_scrape_reach_the_operator() -> None:
    (rule,) = render(CLOSED).one("NetworkPolicy", "hfmodel-operator")["spec"]["ingress"]
    assert rule == {"ports": [{"port": "health"}], "from": CLOSED["networkPolicy"]["metricsFrom"]}
    nobody = render({"networkPolicy": {"enabled": True}}).one("NetworkPolicy", "hfmodel-operator")["spec"]
    assert (nobody["policyTypes"], "ingress" in nobody) == (["Ingress"], False)


def test_the_test_passes_a_closed_router() -> None:
    rendered = render(CLOSED)
    (rule,) = rendered.one("NetworkPolicy", "hfmodel-router")["spec"]["ingress"]
    *given, test = rule["from"]
    assert given == CLOSED["networkPolicy"]["routerFrom"]
    assert test["podSelector"]["matchLabels"].items() <= rendered.one("Pod")["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        pytest.param({}, "No Hugging Face token is set", id="no token"),
        pytest.param({}, "The cache is ReadWriteOnce", id="one node's cache"),
        pytest.param({}, "asks for no API key", id="no keys"),
        pytest.param(MINIMAL, "rbac.create is false", id="no rights"),
    ],
)
def test_the_notes_warn(values: Values, warning: str) -> None:
    calm: Any = {
        "cache": {"accessModes": ["ReadWriteMany"]},
        "huggingface": {"existingSecret": {"name": "hub"}},
        "router": {"apiKeys": {"existingSecret": {"name": "keys"}}},
    }
    assert warning in render(values).notes
    assert warning not in render(calm).notes


def test_the_notes_tell_commands_of_this_release() -> None:
    notes = render(name="prod", namespace="here").notes
    assert "helm -n here test prod" in notes
    assert "kubectl -n here port-forward service/prod-hfmodel-router 8000:80" in notes
    assert "X-API-Key: $KEY" in render(EXISTING).notes
    assert "curl https://models.example.com/models/smollm2/chat" in render(INGRESS).notes
