"""The chart's Roles are those that the documentation promises."""

import re
from typing import Any

import pytest
import yaml

from support.chart_installations import CLOSED, MINIMAL
from support.helm import REPOSITORY, Json, render
from support.operator_account import documented_role


def documented_router_rules() -> list[Json]:
    page = (REPOSITORY / "docs" / "router.md").read_text()
    (block,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("rules:"))
    rules: list[Json] = yaml.safe_load(block)["rules"]
    return rules


def test_the_operator_has_the_rights_of_its_page() -> None:
    assert render().one("Role", "hfmodel-operator")["rules"] == documented_role()["rules"]


def test_the_router_has_the_rights_of_its_page() -> None:
    assert render().one("Role", "hfmodel-router")["rules"] == documented_router_rules()


@pytest.mark.parametrize("component", ["operator", "router"])
def test_the_account_of_the_pods_is_the_one_with_the_rights(component: str) -> None:
    rendered = render(namespace="here")
    binding = rendered.one("RoleBinding", f"hfmodel-{component}")
    assert binding["roleRef"]["name"] == rendered.one("Role", f"hfmodel-{component}")["metadata"]["name"]
    account = rendered.pod(component)["spec"]["serviceAccountName"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "here"}]
    assert account in {found["metadata"]["name"] for found in rendered.all("ServiceAccount")}


@pytest.mark.parametrize("component", ["operator", "router"])
@pytest.mark.parametrize(
    ("account", "expected", "made"),
    [
        pytest.param({"create": True, "name": "mine"}, "mine", True, id="of another name"),
        pytest.param({"create": False, "name": "mine"}, "mine", False, id="that is there already"),
        pytest.param({"create": False}, "default", False, id="of the namespace"),
    ],
)
def test_the_account_may_be_another(component: str, account: Any, expected: str, made: bool) -> None:
    rendered = render({component: {"serviceAccount": account}})
    assert rendered.pod(component)["spec"]["serviceAccountName"] == expected
    assert rendered.one("RoleBinding", f"hfmodel-{component}")["subjects"][0]["name"] == expected
    assert (expected in {found["metadata"]["name"] for found in rendered.all("ServiceAccount")}) is made


def test_nothing_is_granted_that_was_not_asked_for() -> None:
    assert render().kinds & {"ClusterRole", "ClusterRoleBinding"} == set()
    assert render(MINIMAL).kinds & {"Role", "RoleBinding", "ServiceAccount"} == set()


def test_aggregated_roles_are_of_one_release_alone() -> None:
    here = {found["metadata"]["name"] for found in render(CLOSED, namespace="here").all("ClusterRole")}
    there = {found["metadata"]["name"] for found in render(CLOSED, namespace="there").all("ClusterRole")}
    assert here == {"here-hfmodel-view", "here-hfmodel-edit"}
    assert not here & there
    for role in render(CLOSED).all("ClusterRole"):
        assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"hfmodels"}
