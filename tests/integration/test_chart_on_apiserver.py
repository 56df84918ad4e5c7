"""Install, upgrade, rollback and uninstall on a real API server. Nothing waits for pods: there may be no node."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from helm_python import HelmError

from cluster.binaries import BinariesMissing
from cluster.target import target_cluster
from hfmodel_api.schema import crd
from support.chart_installations import CLOSED, EXISTING, GPUS, INGRESS, MINIMAL
from support.chart_release import Contents, Site, installed_crd, site_of, wait, without_crd
from support.helm import Values, render
from support.helm_worker import helm_process

pytestmark = pytest.mark.slow

SHAPES = {
    "defaults": {},
    "minimal": MINIMAL,
    "existing claim and secrets": EXISTING,
    "ingress": INGRESS,
    "GPU profiles": GPUS,
    "closed network": CLOSED,
}
ALL = [pytest.param(values, id=name) for name, values in SHAPES.items()]
# Of another release's cluster-wide objects, none may be in the way.
NAMESPACED = [pytest.param(values, id=name) for name, values in SHAPES.items() if values is not CLOSED]


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    try:
        with target_cluster() as found, without_crd(found):
            yield found
    except BinariesMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def helm() -> Iterator[ProcessPoolExecutor]:
    with helm_process() as found:
        yield found


@pytest.fixture
def here(kubeconfig: Path, helm: ProcessPoolExecutor) -> Iterator[Site]:
    with site_of(helm, kubeconfig) as found:
        yield found


@pytest.fixture
def there(kubeconfig: Path, helm: ProcessPoolExecutor) -> Iterator[Site]:
    with site_of(helm, kubeconfig) as found:
        yield found


def versions(contents: Contents) -> dict[tuple[str, str], tuple[str, str]]:
    """What is the same as long as nobody deletes, creates or writes."""
    return {key: (item["metadata"]["uid"], str(item.get("spec"))) for key, item in contents.items()}


def rendered_names(here: Site, values: Values) -> set[tuple[str, str]]:
    objects = render(values, kubernetes=here.version, namespace=here.namespace).objects
    return {(found["kind"], found["metadata"]["name"]) for found in objects} - {("Pod", "hfmodel-test")}


@pytest.mark.parametrize("values", NAMESPACED)
def test_an_installation_is_what_was_rendered_and_nothing_else(here: Site, values: Values) -> None:
    before = set(here.contents())
    here.install(values)
    assert set(here.made()) - before == rendered_names(here, values)


@pytest.mark.parametrize("values", ALL)
def test_uninstalling_leaves_the_weights_and_nothing_else(here: Site, values: Values) -> None:
    before = set(here.contents())
    here.install(values)
    here.helm.uninstall("hfmodel")
    kept = set() if "existingClaim" in str(values) else {("PersistentVolumeClaim", "hfmodel-cache")}
    wait("everything to go", lambda: set(here.contents()) - before == kept)


def test_weights_go_too_if_told(here: Site) -> None:
    before = set(here.contents())
    here.install({"cache": {"keep": False}})
    here.helm.uninstall("hfmodel")
    wait("everything to go", lambda: set(here.contents()) == before)


def test_weights_that_were_left_are_taken_over(here: Site) -> None:
    here.install()
    claim = here.one("PersistentVolumeClaim", "hfmodel-cache")["metadata"]["uid"]
    here.helm.uninstall("hfmodel")
    here.install()
    assert here.one("PersistentVolumeClaim", "hfmodel-cache")["metadata"]["uid"] == claim


def test_the_first_installation_brings_the_crd_and_no_uninstallation_takes_it(here: Site) -> None:
    here.install()
    served = installed_crd(here.client)
    assert served["spec"]["names"] == {**served["spec"]["names"], **crd()["spec"]["names"]}
    here.add_model("tiny")
    here.helm.uninstall("hfmodel")
    assert installed_crd(here.client)["metadata"]["uid"] == served["metadata"]["uid"]
    assert here.one("HFModel", "tiny")


def test_models_that_are_there_already_are_left_alone(here: Site, there: Site) -> None:
    there.install()
    here.add_model("tiny")
    before = here.one("HFModel", "tiny")
    here.install()
    here.upgrade({"operator": {"replicas": 2}})
    here.helm.rollback("hfmodel")
    here.helm.uninstall("hfmodel")
    assert here.one("HFModel", "tiny") == before


@pytest.mark.parametrize("values", NAMESPACED)
def test_an_upgrade_arrives_at_what_a_new_installation_would_be(here: Site, there: Site, values: Values) -> None:
    here.install()
    service = here.one("Service", "hfmodel-router")
    here.upgrade(values)
    there.install(values)
    kept = {("PersistentVolumeClaim", "hfmodel-cache")}
    assert set(here.made()) | kept == set(there.made()) | kept
    for name in ("hfmodel-operator", "hfmodel-router"):
        containers = [
            place.one("Deployment", name)["spec"]["template"]["spec"]["containers"] for place in (here, there)
        ]
        assert str(containers[0]) == str(containers[1]).replace(there.namespace, here.namespace)
    same = here.one("Service", "hfmodel-router")
    assert (same["metadata"]["uid"], same["spec"]["clusterIP"]) == (
        service["metadata"]["uid"],
        service["spec"]["clusterIP"],
    )


def test_an_upgrade_that_changes_nothing_changes_nothing(here: Site) -> None:
    here.install(GPUS)
    before = {key: item["metadata"].get("generation") for key, item in here.made().items()}
    here.upgrade(GPUS)
    assert {key: item["metadata"].get("generation") for key, item in here.made().items()} == before


def test_a_rollback_restores_what_was(here: Site) -> None:
    here.install({"runtime": {"maxLoadedModels": 2}})
    before = versions(here.made())
    here.upgrade({"router": {"replicas": 5, "ingress": {"enabled": True}}, "gpuProfiles": {"any": {}}})
    assert versions(here.made()) != before
    here.helm.rollback("hfmodel")
    assert versions(here.made()) == before
    assert here.helm.revisions("hfmodel") == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"router": {"replica": 3}}, "'replica' not allowed", id="unknown"),
        pytest.param({"cache": {"size": "much"}}, "/cache/size", id="of the wrong kind"),
        pytest.param({"huggingface": {"token": "a", "existingSecret": {"name": "b"}}}, "not both", id="contradictory"),
    ],
)
def test_a_wrong_value_changes_nothing(here: Site, values: Values, words: str) -> None:
    empty = versions(here.contents())
    with pytest.raises(HelmError, match=words):
        here.install(values)
    assert versions(here.contents()) == empty
    here.install()
    before = versions(here.contents())
    with pytest.raises(HelmError, match=words):
        here.upgrade(values)
    assert versions(here.contents()) == before


def test_two_namespaces_do_not_touch_each_other(here: Site, there: Site) -> None:
    here.install(CLOSED)
    there.install(CLOSED)
    before = versions(there.contents())
    here.upgrade({**CLOSED, "operator": {"replicas": 2}})
    here.helm.uninstall("hfmodel")
    assert versions(there.contents()) == before


def test_a_second_release_stands_beside_the_first(here: Site) -> None:
    here.install()
    before = versions(here.made())
    here.install({"cache": {"existingClaim": "hfmodel-cache"}}, name="second")
    assert before.items() <= versions(here.made()).items()
    here.helm.uninstall("second")
    wait("the second to go", lambda: versions(here.made()) == before)


def test_a_name_that_is_taken_is_refused(here: Site) -> None:
    here.install()
    with pytest.raises(HelmError, match="cannot reuse a name that is still in use"):
        here.install()
