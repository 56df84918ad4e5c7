"""A release's life on a real node: tested, upgraded, rolled back, uninstalled while models are there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.binaries import find
from support.chart_release import Site
from support.chart_release import site as chart_site
from support.helm import Values
from support.installation import ANSWER, QUESTION, Installation, install, wait_for_deployments
from support.kubectl import Kubectl
from support.steady_caller import SteadyCallers

pytestmark = pytest.mark.e2e

MODEL = "pinned"


def test_helm_test_passes(site: Site, installation: Installation) -> None:
    assert installation.url
    site.helm.test("hfmodel")


def test_models_outlive_the_release_and_no_namespace_hangs(kubeconfig: Path, values: Values, hub: str) -> None:
    with chart_site(kubeconfig) as site:
        kubectl = Kubectl(find("kubectl"), kubeconfig, site.namespace)
        installation = install(site, values, kubectl=kubectl, hub=hub)
        installation.apply(MODEL, scaling={"minReplicas": 1})
        kubectl.until("the model serves", lambda: installation.is_in_phase(MODEL, "Ready"), seconds=240)
        (pod,) = installation.pods(MODEL)
        debug = {**values, "operator": {"logLevel": "debug"}}
        check_that_nothing_is_lost(installation, lambda: site.upgrade(debug))
        check_that_nothing_is_lost(installation, lambda: site.helm.rollback("hfmodel"))
        assert [each["metadata"]["uid"] for each in installation.pods(MODEL)] == [pod["metadata"]["uid"]]

        site.helm.uninstall("hfmodel")
        kinds = "deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets"
        left = kubectl("get", kinds, "--selector=app.kubernetes.io/instance=hfmodel", "--output=name")
        assert left.split() == []
        assert kubectl.get("hfmodel", MODEL) is not None
        assert [each["metadata"]["uid"] for each in installation.pods(MODEL)] == [pod["metadata"]["uid"]]
    # The namespace goes with its HFModel, and nobody is there any more who could take a finalizer off.
    kubectl.until("nothing keeps the namespace", lambda: is_empty(kubectl), seconds=180)


def is_empty(kubectl: Kubectl) -> bool:
    """The namespace is gone, or is only waiting for its controller to look again, which may take minutes."""
    namespace = kubectl.get("namespace", kubectl.namespace)
    if namespace is None:
        return True
    conditions = {each["type"]: each["status"] for each in namespace["status"].get("conditions") or ()}
    left = kubectl("get", "hfmodels,pods,jobs,persistentvolumeclaims", "--output=name").split()
    return not left and conditions.get("NamespaceFinalizersRemaining") == "False"


def check_that_nothing_is_lost(installation: Installation, change: Callable[[], None]) -> None:
    with SteadyCallers(f"{installation.url}/models/{MODEL}/generate", QUESTION) as callers:
        change()
        wait_for_deployments(installation.kubectl)
        answered = len(callers.answers)
        installation.kubectl.until("requests are answered", lambda: len(callers.answers) > answered + 2)
    assert callers.failures == []
    assert all(ANSWER in answer["generated_text"][0] for answer in callers.answers)
