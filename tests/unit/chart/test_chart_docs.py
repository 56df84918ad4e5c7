"""What the pages tell users to write is accepted."""

import re
from typing import Any

import pytest
import yaml

from hfmodel_api.schema import schema_errors
from support.chart_values import leaves, merged
from support.helm import CHART, REPOSITORY, chart, render

PAGE = (REPOSITORY / "docs" / "install.md").read_text()
NOTES = render().notes
DOCUMENTS = re.findall(r"<<E\w+\n(.*?)\nE\w+\n", PAGE + NOTES, re.DOTALL)
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
WITHOUT_DEFAULTS = ("gpuProfiles.", "router.httpRoute.timeouts.", "podSecurityContext.")


def groups() -> set[str]:
    paths = [path for path, _ in leaves(chart().values)]
    return {path.rsplit(".", count)[0] for path in paths for count in range(path.count(".") + 1)}


def test_the_pages_have_what_is_checked_here() -> None:
    assert len(DOCUMENTS) == 2
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("text", DOCUMENTS, ids=["install.md", "NOTES.txt"])
def test_the_first_model_is_valid(text: str) -> None:
    assert schema_errors(yaml.safe_load(text)) == ()


@pytest.mark.parametrize("values", BLOCKS, ids=lambda values: "+".join(values))
def test_the_values_are_accepted(values: Any) -> None:
    assert render(values).objects != render().objects


def test_together_the_values_are_accepted() -> None:
    together: dict[str, Any] = {}
    for values in BLOCKS:
        together = merged(together, values)
    assert render(together).kinds >= {"Ingress", "HTTPRoute", "ConfigMap"}


@pytest.mark.parametrize("text", [PAGE, NOTES, (CHART / "values.yaml").read_text()], ids=["page", "notes", "values"])
def test_every_value_that_is_named_exists(text: str) -> None:
    tops = "|".join(name for name, value in chart().values.items() if isinstance(value, dict))
    named = set(re.findall(rf"\b((?:{tops})(?:\.[a-z]\w*)+)", text))
    # Names that only look like values: operator.md, monitoring.coreos.com.
    files = {name for name in named if name.rsplit(".", 1)[1] in ("md", "yaml", "com")}
    unknown = named - files - groups() - {path for path, _ in leaves(chart().values)}
    assert [name for name in sorted(unknown) if not name.startswith(WITHOUT_DEFAULTS)] == []


def test_the_commands_name_objects_of_the_release() -> None:
    names = {f"{found['kind'].lower()}/{found['metadata']['name']}" for found in render().objects}
    for kind, name in re.findall(r"\b(deployment|service)/([a-z-]+)", PAGE + NOTES):
        assert f"{kind}/{name}" in names
    for kind, name in re.findall(r"delete (pvc|pod) ([a-z-]+)", PAGE):
        assert f"{ {'pvc': 'persistentvolumeclaim', 'pod': 'pod'}[kind] }/{name}" in names
