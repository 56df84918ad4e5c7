"""Every pod of the chart keeps the Restricted Pod Security Standard and has no more than it needs."""

import json
from collections.abc import Iterator

import pytest

from support.chart_installations import GPUS, INSTALLATIONS
from support.helm import PROMETHEUS, Json, Values, render

ALL = [pytest.param(values, id=name) for name, values in INSTALLATIONS.items()]
# Of volumes that the standard allows, those that the chart has a use for.
VOLUMES = {"emptyDir", "configMap"}


def pod_specs(values: Values) -> Iterator[Json]:
    rendered = render(values, apis=[PROMETHEUS])
    yield from (deployment["spec"]["template"]["spec"] for deployment in rendered.all("Deployment"))
    yield from (pod["spec"] for pod in rendered.all("Pod"))


@pytest.mark.parametrize("values", ALL)
def test_pods_are_restricted(values: Values) -> None:
    specs = list(pod_specs(values))
    assert len(specs) == 3
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(spec)
        for volume in spec.get("volumes", ()):
            assert set(volume) - {"name"} <= VOLUMES


@pytest.mark.parametrize("values", ALL)
def test_containers_are_restricted(values: Values) -> None:
    for spec in pod_specs(values):
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("values", ALL)
def test_only_operator_and_router_get_credentials(values: Values) -> None:
    rendered = render(values, apis=[PROMETHEUS])
    assert all(account["automountServiceAccountToken"] is False for account in rendered.all("ServiceAccount"))
    mounted = {
        component: rendered.pod(component)["spec"]["automountServiceAccountToken"]
        for component in ("operator", "router")
    }
    assert mounted == {"operator": True, "router": True}
    assert rendered.one("Pod")["spec"]["automountServiceAccountToken"] is False


def test_a_platform_may_choose_the_user() -> None:
    for spec in pod_specs({"podSecurityContext": {"runAsUser": None, "runAsGroup": None}}):
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_token_stays_in_its_secret() -> None:
    rendered = render(GPUS)
    assert rendered.one("Secret")["stringData"] == {"HF_TOKEN": "hf_secret"}
    others = [found for found in rendered.objects if found["kind"] != "Secret"]
    assert "hf_secret" not in json.dumps(others) + rendered.notes


@pytest.mark.parametrize("component", ["operator", "router"])
def test_services_of_the_namespace_cannot_become_settings(component: str) -> None:
    # HFMODEL_PORT=tcp://10.96.0.7:80 is what a Service named hfmodel would add.
    assert render().pod(component)["spec"]["enableServiceLinks"] is False
