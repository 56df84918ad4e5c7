"""The CRD and the types say the same: one table, and manifests made from the schema, through both."""

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import celpy
import celpy.adapter
import pytest
from hypothesis import example, given, settings
from pydantic import BaseModel, ValidationError

from hfmodel_api import duration, names, patterns
from hfmodel_api.schema import crd, schema_errors, structural_schema, with_defaults
from hfmodel_api.spec import Device, Dtype, EngineName, HFModel, HFModelSpec, ModelType
from hfmodel_api.status import Condition, ConditionType, HFModelStatus, Phase
from hfmodel_api.validation import field_errors
from support.manifest_cases import INVALID, VALID, manifest, specs


def cel_environment() -> celpy.Environment:
    """celpy raises the recursion limit of the whole process; these rules need none of it, and other tests may mind."""
    limit = sys.getrecursionlimit()
    environment = celpy.Environment()
    sys.setrecursionlimit(limit)
    return environment


CEL = cel_environment()


def crd_errors(spec: Any) -> set[str]:
    """Paths below spec that the structural schema, or else a CEL rule, blames."""
    structural = {error.path.removeprefix("spec.") for error in schema_errors(manifest(spec))}
    return structural or {path.removeprefix("spec.") for path in broken_rules(manifest(spec))}


def type_errors(spec: Any) -> set[str]:
    """Paths below spec that the types blame."""
    try:
        HFModelSpec.model_validate(spec, by_alias=True, by_name=False)
    except ValidationError as error:
        return {error.path for error in field_errors(error)}
    return set()


def broken_rules(document: Any) -> Iterator[str]:
    """Paths of the values for which a CEL rule of the CRD does not hold, as the server finds them after defaulting."""
    for path, value, schema in parts(with_defaults(document), structural_schema(), ""):
        for rule in schema.get("x-kubernetes-validations", ()):
            if not compiled(rule["rule"]).evaluate({"self": celpy.adapter.json_to_cel(value)}):
                yield path


@cache
def compiled(rule: str) -> celpy.Runner:
    return CEL.program(CEL.compile(rule))


def parts(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    yield path, value, schema
    for name, child in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from parts(value[name], child, f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize("fields", VALID.values(), ids=VALID)
def test_both_accept(fields: dict[str, Any]) -> None:
    spec = {"model": "gpt2", **fields}
    assert crd_errors(spec) == set()
    assert type_errors(spec) == set()


@pytest.mark.parametrize(("fields", "blamed"), [case[1:] for case in INVALID], ids=[case[0] for case in INVALID])
def test_both_refuse_and_blame_the_same_field(fields: dict[str, Any], blamed: str) -> None:
    spec = {"model": "gpt2", **fields}
    assert crd_errors(spec) == {blamed}
    assert type_errors(spec) == {blamed}


@pytest.mark.parametrize("fields", VALID.values(), ids=VALID)
def test_both_fill_in_the_same_defaults(fields: dict[str, Any]) -> None:
    spec = {"model": "gpt2", **fields}
    stored = with_defaults(manifest(spec))["spec"]
    assert HFModelSpec.model_validate(stored) == HFModelSpec.model_validate(spec)
    # Lists and texts that are empty by default are not written into every stored object.
    assert (
        without_empty(HFModelSpec.model_validate({"model": "gpt2"}))
        == with_defaults(manifest({"model": "gpt2"}))["spec"]
    )


def without_empty(spec: HFModelSpec) -> dict[str, Any]:
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in dumped.items() if value not in ("", [], {}, {"requests": {}, "limits": {}})}


@settings(max_examples=300, deadline=None)
@given(specs(structural_schema()["properties"]["spec"]))
@example({"model": "gpt2"})
def test_both_give_the_same_verdict_on_any_spec(spec: Any) -> None:
    assert bool(crd_errors(spec)) == bool(type_errors(spec))


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        *((name, True) for name in ("a", "smollm2-135m", "llama-3.2-1b", "0", "x" * 63)),
        *(
            (name, False)
            for name in ("", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a.-b", "a/b", "x" * 64, "a\n", 3)
        ),
    ],
)
def test_both_judge_names_alike(name: Any, valid: bool) -> None:
    document = manifest({"model": "gpt2"}) | {"metadata": {"name": name}}
    assert (not schema_errors(document)) == valid
    try:
        HFModel(id=name, spec=HFModelSpec(model="gpt2"))
    except ValidationError:
        assert not valid
    else:
        assert valid


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """Fields of a type and of the types below it, by the name they have in a manifest."""
    fields = {}
    for name, field in model.model_fields.items():
        inner = next(iter(models_in(field.annotation)), None)
        fields[field.alias or name] = fields_of(inner) if inner else {}
    return fields


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("items", schema).get("properties", {})
    return {name: properties_of(child) for name, child in properties.items()}


@pytest.mark.parametrize(("part", "model"), [("spec", HFModelSpec), ("status", HFModelStatus)])
def test_every_field_of_one_is_a_field_of_the_other(part: str, model: type[BaseModel]) -> None:
    assert fields_of(model) == properties_of(structural_schema()["properties"][part])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("spec.type", ModelType),
        ("spec.device", Device),
        ("spec.dtype", Dtype),
        ("spec.engine", EngineName),
    ],
)
def test_enums_are_equal(path: str, words: type[Any]) -> None:
    assert schema_at(path)["enum"] == [str(word) for word in words]


@pytest.mark.parametrize(
    ("path", "words"),
    [("status.phase", list(Phase)), ("status.conditions.type", list(ConditionType))],
    ids=["phase", "type"],
)
def test_words_of_the_status_are_open_to_newer_versions(path: str, words: list[str]) -> None:
    schema = schema_at(path)
    assert "enum" not in schema
    for word in (*words, "Dreaming"):
        assert re.fullmatch(schema["pattern"], word)
        assert len(word) <= schema["maxLength"]


def test_what_a_newer_version_wrote_into_the_status_is_passed_over() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Ready"}
    newer = {"type": "Dreamt", "status": "Maybe", "reason": "Night"}
    status = HFModelStatus.model_validate({"phase": "Dreaming", "conditions": [newer, ready], "resolvedRevision": "a"})
    assert (status.phase, status.resolved_revision) == (Phase.PENDING, "a")
    assert [condition.type for condition in status.conditions] == [ConditionType.READY]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("metadata.name", names.ID_PATTERN),
        ("spec.model", patterns.REPO_ID),
        ("spec.revision", patterns.REVISION),
        ("spec.source.hub.endpoint", patterns.ENDPOINT),
        ("spec.source.pvc.claimName", patterns.DNS_NAME),
        ("spec.tokenSecretRef.name", patterns.DNS_NAME),
        ("spec.tokenSecretRef.key", patterns.DATA_KEY),
        ("spec.gpu.profile", patterns.DNS_NAME),
        ("spec.priorityClassName", patterns.OPTIONAL_DNS_NAME),
        ("spec.serviceAccountName", patterns.OPTIONAL_DNS_NAME),
        ("spec.env.name", patterns.ENV_NAME),
        ("spec.scaling.idleTimeout", duration.PATTERN),
        ("spec.scaling.scaleDownDelay", duration.PATTERN),
        ("spec.scaling.startTimeout", duration.PATTERN),
    ],
)
def test_patterns_are_equal(path: str, pattern: str) -> None:
    assert schema_at(path)["pattern"] == pattern


def schema_at(path: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = structural_schema()
    for name in path.split("."):
        schema = schema.get("items", schema)["properties"][name]
    return schema


def test_a_status_of_the_types_is_one_of_the_schema() -> None:
    condition = Condition(type=ConditionType.READY, status="True", reason="Ready")
    status = HFModelStatus(phase=Phase.READY, conditions=(condition,)).model_dump(mode="json", by_alias=True)
    assert with_defaults({"status": status})["status"] == {
        "phase": "Ready",
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""}],
        "replicas": 0,
        "readyReplicas": 0,
        "demand": {},
    }


def test_the_crd_has_the_names_of_the_package() -> None:
    spec = crd()["spec"]
    assert crd()["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (names.GROUP, names.KIND, names.PLURAL)
    assert spec["names"]["shortNames"] == [names.SHORT_NAME]
    assert structural_schema()["properties"]["metadata"]["properties"]["name"]["maxLength"] == names.ID_MAX_LENGTH
