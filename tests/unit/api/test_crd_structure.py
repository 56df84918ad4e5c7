"""What an API server of any version asks of a CRD, and what people ask of `kubectl explain` and `kubectl get`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hfmodel_api.schema import crd, structural_schema
from hfmodel_api.status import ConditionType

# The keywords that apiextensions.k8s.io/v1 has had since 1.20 and that a structural schema may use; servers older than
# 1.25 drop the rules.
KEYWORDS = {
    *("description", "type", "properties", "required", "additionalProperties", "items", "enum", "default", "format"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "maxProperties", "not", "anyOf"),
    *("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}
VALUE_ONLY = {"pattern", "minimum", "maximum", "minLength", "maxLength", "type"}
COLUMNS = ["Type", "Phase", "Ready", "Model", "Last active", "Age"]


def nodes(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    children = dict(schema.get("properties", {}))
    children |= {"[]": schema["items"]} if "items" in schema else {}
    children |= {"*": schema["additionalProperties"]} if "additionalProperties" in schema else {}
    for name, child in children.items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))


NODES = dict(nodes(structural_schema()))
version = crd()["spec"]["versions"][0]


@pytest.mark.parametrize("path", NODES)
def test_every_level_is_structural(path: str) -> None:
    schema = NODES[path]
    assert set(schema) <= KEYWORDS
    assert ("type" in schema) != bool(schema.get("x-kubernetes-int-or-string"))
    assert not ("properties" in schema and "additionalProperties" in schema)
    # Under a junctor only values may be restricted.
    for junctor in (schema.get("not", {}), *schema.get("anyOf", ())):
        assert set(junctor) <= VALUE_ONLY
    assert set(schema.get("required", ())) <= set(schema.get("properties", {}))


@pytest.mark.parametrize("path", [path for path in NODES if path != "metadata"])
def test_every_field_is_explained(path: str) -> None:
    description = NODES[path]["description"]
    assert re.fullmatch(r"[A-Z`\"a].*\.", description), description


def test_every_pattern_is_anchored() -> None:
    found = [schema["pattern"] for schema in NODES.values() if "pattern" in schema]
    assert found
    assert all(pattern.startswith("^") and pattern.endswith("$") for pattern in found)


def test_status_is_a_subresource() -> None:
    assert version["subresources"] == {"status": {}}
    assert (version["served"], version["storage"]) == (True, True)


def test_kubectl_get_shows_the_columns_that_matter() -> None:
    columns = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert columns == COLUMNS


@pytest.mark.parametrize("column", version["additionalPrinterColumns"], ids=lambda column: str(column["name"]))
def test_printer_columns_resolve(column: Mapping[str, Any]) -> None:
    path = column["jsonPath"].lstrip(".")
    if path == "metadata.creationTimestamp":
        return
    condition = re.fullmatch(r'status\.conditions\[\?\(@\.type=="(\w+)"\)\]\.(\w+)', path)
    if condition:
        assert condition[1] in list(ConditionType)
        path = f"status.conditions.[].{condition[2]}"
    schema = NODES[path]
    kinds = {"date": "string"}
    assert schema["type"] == kinds.get(column["type"], column["type"])
    assert column["type"] != "date" or schema["format"] == "date-time"
