"""examples/gitops: what a GitOps tool makes of an HFModel, and that the manifests point at what there is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml

from hfmodel_api.status import HFModelStatus, Phase
from hfmodel_operator.observed import ObservedModel, PodState
from support.decider_values import CRASHED, GATED, ago, model, pod, settled, working
from support.helm import render
from support.kstatus import kstatus

REPOSITORY = Path(__file__).resolve().parents[2]
GITOPS = REPOSITORY / "examples" / "gitops"
HEALTH_KEY = "resource.customizations.health.hfmodel.dev_HFModel"

# Phase, what Argo CD must say, what Flux (kstatus) must say.
CASES = [
    pytest.param(model(), Phase.ASLEEP, "Healthy", "Current", id="asleep"),
    pytest.param(model("m", pod(activity=working())), Phase.READY, "Healthy", "Current", id="ready"),
    pytest.param(model("m", pod(state=PodState.GOING)), Phase.RETIRING, "Healthy", "Current", id="retiring"),
    pytest.param(model(cached=False), Phase.FETCHING, "Progressing", "InProgress", id="downloads"),
    pytest.param(model(wanted=1), Phase.STARTING, "Progressing", "InProgress", id="wakes"),
    pytest.param(model(problem=GATED), Phase.FAILED, "Degraded", "Failed", id="cannot be served"),
    pytest.param(
        model(failures=1, last_failure=GATED, last_failed_at=ago(5)), Phase.FAILED, "Degraded", "Failed", id="failed"
    ),
    pytest.param(
        model("m", pod(activity=working()), template_hash="t2"),
        Phase.READY,
        "Progressing",
        "InProgress",
        id="is rolled to a new template",
    ),
    pytest.param(
        model(
            "m", pod(activity=working()), template_hash="t2", failures=9, last_failure=CRASHED, last_failed_at=ago(5)
        ),
        Phase.READY,
        "Degraded",
        "Failed",
        id="a new template that fails",
    ),
]


def manifest(status: HFModelStatus | None) -> dict[str, Any]:
    """The object as the API server stores it; without a status of ours it has the CRD's default."""
    stored = {"apiVersion": "hfmodel.dev/v1alpha1", "kind": "HFModel", "metadata": {"name": "m", "generation": 1}}
    schema = yaml.safe_load((REPOSITORY / "crds" / "hfmodels.yaml").read_text())["spec"]["versions"][0]["schema"]
    default = schema["openAPIV3Schema"]["properties"]["status"]["default"]
    return {**stored, "status": default if status is None else status.model_dump(by_alias=True, mode="json")}


def argo_health(manifest: dict[str, Any]) -> dict[str, str]:
    """Argo CD's own way: the script sees `obj` and returns a table."""
    script = yaml.safe_load((GITOPS / "argocd" / "health.yaml").read_text())["data"][HEALTH_KEY]
    lua = lupa.LuaRuntime()
    run: Callable[[Any], Any] = lua.eval(f"function(obj)\n{script}\nend")
    return dict(run(lua.table_from(manifest, recursive=True)))


@pytest.mark.parametrize(("observed", "phase", "argo", "flux"), CASES)
def test_health_follows_the_phase(observed: ObservedModel, phase: Phase, argo: str, flux: str) -> None:
    status = settled(observed).status
    assert status.phase is phase
    health = argo_health(manifest(status))
    assert health["status"] == argo
    assert health["message"]
    assert kstatus(manifest(status)) == flux


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(manifest(None), id="no status yet"),
        pytest.param(
            manifest(settled(model()).status) | {"metadata": {"name": "m", "generation": 2}}, id="a newer spec"
        ),
    ],
)
def test_what_the_operator_has_not_seen_yet_is_on_its_way(stored: dict[str, Any]) -> None:
    assert argo_health(stored)["status"] == "Progressing"
    assert kstatus(stored) == "InProgress"


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(GITOPS.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield f"{path.name}: {document['kind']}", document


@pytest.mark.parametrize(("name", "document"), [pytest.param(*pair, id=pair[0]) for pair in documents()])
def test_every_path_it_names_is_there(name: str, document: dict[str, Any]) -> None:
    spec = document.get("spec", {})
    paths = [spec.get("path"), spec.get("source", {}).get("path")]
    chart = spec.get("chart")
    paths += [chart["spec"]["chart"]] if isinstance(chart, dict) else []
    assert [path for path in paths if path is not None and not (REPOSITORY / path).is_dir()] == []


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        pytest.param("Application", "operator.yaml", id="Argo CD"),
        pytest.param("HelmRelease", "release.yaml", id="Flux"),
    ],
)
def test_its_values_are_the_charts(kind: str, file: str) -> None:
    spec = dict(documents())[f"{file}: {kind}"]["spec"]
    values = spec["values"] if kind == "HelmRelease" else spec["source"]["helm"]["valuesObject"]
    images = {
        container["image"]
        for found in render(values).all("Deployment")
        for container in found["spec"]["template"]["spec"]["containers"]
    }
    assert all(image.startswith("registry.example.com/platform/hfmodel/") for image in images)


def test_both_prune_what_is_removed_from_git() -> None:
    found = dict(documents())
    assert found["catalog.yaml: Application"]["spec"]["syncPolicy"]["automated"]["prune"] is True
    flux = [
        document
        for _, document in documents()
        if document["kind"] == "Kustomization" and "path" in document.get("spec", {})
    ]
    assert [document["spec"]["prune"] for document in flux] == [True, True]
