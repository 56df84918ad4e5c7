"""What the chart makes is accepted by every version of Kubernetes that it is for."""

from pathlib import Path

import pytest
import yaml
from helm_python import Chart, lint, package

from support.chart_installations import INSTALLATIONS
from support.chart_schemas import OLDEST, VERSIONS, schema_errors
from support.helm import CHART, PROMETHEUS, REPOSITORY, Values, chart, render

ALL = [pytest.param(values, id=name) for name, values in INSTALLATIONS.items()]
# On 1.20 there is no autoscaling/v2, which the chart refuses in words.
ON_OLD = [pytest.param(values, id=name) for name, values in INSTALLATIONS.items() if "autoscaling" not in str(values)]
SINCE_1_21 = {"policy/v1", "autoscaling/v2", "batch/v1beta1", "discovery.k8s.io/v1"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", ALL)
def test_every_object_is_valid(values: Values, version: str) -> None:
    objects = render(values, kubernetes=version, apis=[PROMETHEUS]).objects
    assert [error for found in objects for error in schema_errors(found, kubernetes=version)] == []


@pytest.mark.parametrize("values", ON_OLD)
def test_an_old_server_gets_what_it_knows(values: Values) -> None:
    objects = render(values, kubernetes="1.20", apis=[PROMETHEUS]).objects
    assert {found["apiVersion"] for found in objects} & SINCE_1_21 == set()
    assert [error for found in objects for error in schema_errors(found, kubernetes=OLDEST)] == []


@pytest.mark.parametrize("values", ALL)
def test_every_object_lies_in_the_releases_namespace_and_says_what_it_belongs_to(values: Values) -> None:
    for found in render(values, apis=[PROMETHEUS], name="mine", namespace="here").objects:
        metadata = found["metadata"]
        assert metadata.get("namespace") == (None if found["kind"] == "ClusterRole" else "here")
        assert metadata["labels"]["app.kubernetes.io/instance"] == "mine"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"


@pytest.mark.parametrize("values", ALL)
def test_no_two_objects_have_the_same_name(values: Values) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in render(values, apis=[PROMETHEUS]).objects]
    assert len(names) == len(set(names))


def test_together_the_installations_use_every_template() -> None:
    unused = {f"hfmodel/{path.relative_to(CHART)}" for path in (CHART / "templates").rglob("*.yaml")}
    for values in INSTALLATIONS.values():
        unused -= {name for name, text in render(values, apis=[PROMETHEUS]).files.items() if text.strip()}
    assert unused == set()


def test_lint_finds_nothing() -> None:
    report = lint(CHART, strict=True)
    information = 1
    assert [message for message in report["messages"] if message["severity"] > information] == []
    assert report["errors"] == []


def test_the_chart_installs_the_crd_of_this_version() -> None:
    source, copy = REPOSITORY / "crds" / "hfmodels.yaml", CHART / "crds" / "hfmodels.yaml"
    assert copy.read_bytes() == source.read_bytes(), "cp crds/hfmodels.yaml charts/hfmodel/crds/"
    assert [Path(found["filename"]).name for found in chart().crds] == ["hfmodels.yaml"]


def test_the_chart_runs_this_version() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    version = next(line.split('"')[1] for line in project.splitlines() if line.startswith("version = "))
    assert chart().metadata["appVersion"] == version


def test_a_packaged_chart_has_what_it_needs(tmp_path: Path) -> None:
    archive = package(CHART, destination=tmp_path)
    with Chart.load(archive) as packed:
        assert packed.crds == chart().crds
        assert packed.schema == chart().schema
        assert packed.templates == chart().templates
        assert {file["name"] for file in packed.files} >= {"files/check_router.py"}


def test_names_stay_within_what_kubernetes_takes() -> None:
    name = "a-release-with-the-longest-name-that-helm-takes-12345"
    for found in render({"monitoring": {"enabled": True}}, apis=[PROMETHEUS], name=name).objects:
        assert len(found["metadata"]["name"]) <= 63
    assert len(name) == 53


def test_values_yaml_is_what_users_read() -> None:
    assert yaml.safe_load((CHART / "values.yaml").read_text()) == chart().values
