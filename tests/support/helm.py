"""The chart as Helm's own engine sees it: rendered, linted, without a cluster."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from helm_python import Chart, _native

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CHART: Final = REPOSITORY / "charts" / "hfmodel"
PROMETHEUS: Final = "monitoring.coreos.com/v1"
_NOTES: Final = "hfmodel/templates/NOTES.txt"

Json = dict[str, Any]
Values = Mapping[str, Any]


@cache
def chart() -> Chart:
    return Chart.load(CHART)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release consists of: all its objects, the test's pod among them."""

    files: Mapping[str, str]

    @property
    def notes(self) -> str:
        return self.files[_NOTES]

    @property
    def objects(self) -> tuple[Json, ...]:
        texts = [text for name, text in self.files.items() if name != _NOTES]
        return tuple(document for text in texts for document in yaml.safe_load_all(text) if document)

    @property
    def kinds(self) -> set[str]:
        return {found["kind"] for found in self.objects}

    def all(self, kind: str) -> tuple[Json, ...]:
        return tuple(found for found in self.objects if found["kind"] == kind)

    def one(self, kind: str, name: str | None = None) -> Json:
        """The only object of that kind, or of that kind and name."""
        (found,) = (found for found in self.all(kind) if name is None or found["metadata"]["name"] == name)
        return found

    def pod(self, component: str) -> Json:
        """The pod template of the Deployment of a component."""
        template: Json = self.one("Deployment", f"hfmodel-{component}")["spec"]["template"]
        return template

    def container(self, component: str) -> Json:
        (container,) = self.pod(component)["spec"]["containers"]
        found: Json = container
        return found


def render(
    values: Values | None = None,
    *,
    kubernetes: str = "1.37",
    apis: Iterable[str] = (),
    name: str = "hfmodel",
    namespace: str = "models",
) -> Rendered:
    """The chart as `helm template` renders it; a value that a template uses and values.yaml lacks is an error.

    Args:
        kubernetes: major and minor version of the server.
        apis: what the server has beside Kubernetes' own.

    Raises:
        HelmValuesError, HelmRenderError
    """
    options = {
        "name": name,
        "namespace": namespace,
        "kube_version": f"{kubernetes}.0",
        "api_versions": list(apis),
        "strict": True,
    }
    return Rendered(_files(json.dumps(values or {}), json.dumps(options)))


@cache
def _files(values: str, options: str) -> Mapping[str, str]:
    # `Chart.render` knows neither the version of a server nor its APIs.
    files: dict[str, str] = json.loads(_native.call_string("helm_render", chart()._raw(), values, options))
    return MappingProxyType(files)
