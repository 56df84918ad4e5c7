"""`crds/hfmodels.yaml` at work outside a cluster: the errors an API server would find, the defaults it would fill in.

The structural schema becomes JSON Schema with the server's habits: unknown fields are refused (as `kubectl apply`
does), nulls of a mapping count as absent, 3.0 is an integer and true is not.
"""

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from hfmodel_api.errors import FieldError
from hfmodel_api.names import API_VERSION, KIND, VERSION
from hfmodel_api.schema_sentences import errors_of

Schema = dict[str, Any]

_FILE = "hfmodels.yaml"
# What a structural schema may say that means something else, or nothing, in JSON Schema.
_NOT_JSON_SCHEMA = ("default", "description", "example", "format", "nullable")
# Fields of metadata that are the server's, or that a manifest saved from a cluster carries.
_OBJECT_META = (
    *(
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
    ),
    *("managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
)


@cache
def crd() -> Mapping[str, Any]:
    """The CustomResourceDefinition of HFModel, as it stands in the file."""
    here = Path(__file__).parent
    # In a wheel the file lies inside the package, in a checkout beside it.
    path = next(folder / _FILE for folder in (here, here.parent) if (folder / _FILE).is_file())
    document: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


@cache
def structural_schema() -> Mapping[str, Any]:
    """The `openAPIV3Schema` of the version that this package speaks."""
    version = next(version for version in crd()["spec"]["versions"] if version["name"] == VERSION)
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def schema_errors(manifest: Any) -> tuple[FieldError, ...]:
    """Everything that the schema has against `manifest`, in its order; CEL rules are not looked at."""
    return errors_of(_validator().iter_errors(without_nulls(manifest)))


def with_defaults(manifest: Any) -> Any:
    """A copy of `manifest` as the server would store it: nulls dropped, defaults filled in."""
    return _defaulted(without_nulls(manifest), structural_schema())


def without_nulls(manifest: Any) -> Any:
    """A copy of `manifest` without the nulls that the server drops: those of fields that are not nullable."""
    pruned = _pruned(manifest, structural_schema())
    if isinstance(pruned, dict) and isinstance(metadata := pruned.get("metadata"), dict):
        # The structural schema knows only the name; `labels:` with nothing below it is fine all the same.
        pruned["metadata"] = {name: value for name, value in metadata.items() if value is not None}
    return pruned


@cache
def _validator() -> Draft202012Validator:
    root = structural_schema()
    metadata = _json_schema(root["properties"]["metadata"])
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    metadata["required"] = ["name"]
    metadata["properties"] |= {"namespace": {"type": "string"}, "labels": texts, "annotations": texts}
    metadata["properties"] |= {key: {} for key in _OBJECT_META}
    schema = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"enum": [API_VERSION]},
            "kind": {"enum": [KIND]},
            "metadata": metadata,
            "spec": _json_schema(root["properties"]["spec"]),
            # The server ignores what a manifest says of its own status.
            "status": {},
        },
    }
    numbers = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number)
    # jsonschema gives `extend` no types.
    kind: type[Draft202012Validator] = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, validators={"pattern": _pattern}, type_checker=numbers
    )
    return kind(schema)


def _is_number(_checker: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Any:
    # fullmatch: Python's "$" would let a line feed pass at the end. All patterns are anchored on both sides.
    if isinstance(value, str) and re.fullmatch(pattern, value) is None:
        yield ValidationError("pattern")


def _json_schema(structural: Mapping[str, Any]) -> Schema:
    schema: Schema = {
        key: value
        for key, value in structural.items()
        if key not in _NOT_JSON_SCHEMA and not key.startswith("x-kubernetes-")
    }
    if structural.get("x-kubernetes-int-or-string"):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    if structural.get("nullable"):
        schema["type"] = [*_as_list(schema["type"]), "null"]
    if "properties" in structural:
        schema["properties"] = {name: _json_schema(child) for name, child in structural["properties"].items()}
        schema["additionalProperties"] = bool(structural.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(structural.get("additionalProperties"), dict):
        schema["additionalProperties"] = _json_schema(structural["additionalProperties"])
    if "items" in structural:
        schema["items"] = _json_schema(structural["items"])
    return schema


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _child(structural: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The schema of a field, None where anything goes."""
    properties = structural.get("properties", {})
    rest = structural.get("additionalProperties")
    found: Mapping[str, Any] | None = properties.get(name, rest if isinstance(rest, dict) else None)
    return found


def _pruned(value: Any, structural: Mapping[str, Any] | None) -> Any:
    if structural is None:
        return value
    if isinstance(value, dict):
        children = {name: (item, _child(structural, name)) for name, item in value.items()}
        return {
            name: _pruned(item, child)
            for name, (item, child) in children.items()
            if item is not None or child is None or child.get("nullable")
        }
    if isinstance(value, list):
        return [_pruned(item, structural.get("items")) for item in value]
    return value


def _defaulted(value: Any, structural: Mapping[str, Any] | None) -> Any:
    if structural is None:
        return value
    if isinstance(value, dict):
        defaults = {
            name: child["default"]
            for name, child in structural.get("properties", {}).items()
            if "default" in child and name not in value
        }
        return {name: _defaulted(item, _child(structural, name)) for name, item in {**value, **defaults}.items()}
    if isinstance(value, list):
        return [_defaulted(item, structural.get("items")) for item in value]
    return value
