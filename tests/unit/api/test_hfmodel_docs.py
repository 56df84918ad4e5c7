"""docs/hfmodel.md against the schema it explains."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmodel_api.manifests import parse_manifest
from hfmodel_api.schema import structural_schema

PAGE = (Path(__file__).parents[3] / "docs" / "hfmodel.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| `([\w.]+)` \|(?: (.*?) \|)?", PAGE, re.MULTILINE)


def leaves(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, child in schema["properties"].items():
        inner = child.get("items", child)
        if "properties" in inner and name != "conditions":
            yield from leaves(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}", child


def fields(part: str) -> dict[str, Mapping[str, Any]]:
    return dict(leaves(structural_schema()["properties"][part]))


def test_every_field_is_explained_and_none_that_is_not_there() -> None:
    assert [path for path, _ in ROWS if path != "source"] == [*fields("spec"), *fields("status")]


@pytest.mark.parametrize(("path", "schema"), fields("spec").items(), ids=fields("spec"))
def test_the_page_has_the_defaults_of_the_schema(path: str, schema: Mapping[str, Any]) -> None:
    shown = dict(ROWS)[path]
    default = schema.get("default")
    if default is None:
        assert not shown.startswith("`")
    else:
        assert shown == f"`{str(default).lower() if isinstance(default, bool) else default}`"


@pytest.mark.parametrize("example", EXAMPLES, ids=["least", "most"])
def test_the_examples_are_valid(example: str) -> None:
    parse_manifest(yaml.safe_load(example))


def test_the_long_example_shows_every_field_of_the_spec_but_exclusive_ones() -> None:
    shown = set(yaml.safe_load(EXAMPLES[1])["spec"])
    assert shown == set(structural_schema()["properties"]["spec"]["properties"])
