"""What a person reads who wrote a manifest that is not right."""

import copy
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.names import ID_PATTERN
from hfmodel_api.parse import parse_manifest
from hfmodel_api.patterns import DURATION, EXPLANATIONS
from hfmodel_api.spec import HFModelSpec
from hfmodel_api.validation import field_errors


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "hfmodel.dev/v1alpha1",
        "kind": "HFModel",
        "metadata": {"name": "smol"},
        "spec": {"model": "gpt2", **spec},
    }


def errors(document: Any) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        parse_manifest(document)
    return [str(error) for error in refused.value.errors]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"type": "txt"}, "spec.type: 'txt' is not one of text, conversational, code, instruction"),
        ({"model": ""}, "spec.model: must not be empty"),
        (
            {"model": "a b"},
            "spec.model: 'a b' is not a Hugging Face repo id: write it as gpt2 or HuggingFaceTB/SmolLM2-135M-Instruct",
        ),
        ({"model": None}, "spec.model: is required"),
        (
            {"scaling": {"idleTimeout": "-5m"}},
            f"spec.scaling.idleTimeout: '-5m' is not {EXPLANATIONS[DURATION]}",
        ),
        ({"scaling": {"startTimeout": "0s"}}, "spec.scaling.startTimeout: must be longer than 0s"),
        ({"scaling": {"minReplicas": 2}}, "spec.scaling: minReplicas (2) must not exceed maxReplicas (1)"),
        ({"scaling": {"minReplica": 2}}, "spec.scaling.minReplica: is not a field here; did you mean minReplicas?"),
        ({"max_length": 2}, "spec.max_length: is not a field here; did you mean maxLength?"),
        ({"cache": {"bogus": 1}}, "spec.cache.bogus: is not a field here; the fields are prefetch"),
        ({"zzzzz": 1}, "spec.zzzzz: is not a field here"),
        ({"maxLength": "512"}, "spec.maxLength: must be a whole number (got '512')"),
        ({"maxLength": 0}, "spec.maxLength: must be at least 1 (got 0)"),
        ({"suggestedTemperature": 3}, "spec.suggestedTemperature: must be at most 2 (got 3)"),
        ({"size": 135}, "spec.size: must be text (got 135): put it in quotes"),
        ({"size": True}, "spec.size: must be text (got true): put it in quotes"),
        ({"size": "x" * 40}, "spec.size: must be at most 32 characters long (got 40)"),
        ({"gated": "yes"}, "spec.gated: must be true or false (got 'yes')"),
        ({"source": {"path": "a", "hub": {}}}, "spec.source: set at most 1 of hub, pvc, path (got path, hub)"),
        ({"source": {"path": ""}}, "spec.source.path: must not be empty"),
        ({"source": "hub"}, "spec.source: must be a mapping (got 'hub')"),
        ({"env": [None]}, "spec.env[0]: must be a mapping, not null"),
        ({"env": {}}, "spec.env: must be a list (got {})"),
        (
            {"resources": {"limits": {"cpu": 0.5}}},
            "spec.resources.limits.cpu: must be a whole number or text (got 0.5)",
        ),
        ({"tokenSecretRef": {"key": "hf"}}, "spec.tokenSecretRef.name: is required"),
        ({"description": ["x" * 100]}, f"spec.description: must be text (got ['{'x' * 58}…)"),
    ],
)
def test_one_error_is_one_sentence(spec: dict[str, Any], sentence: str) -> None:
    assert errors(manifest(**spec)) == [sentence]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"apiVersion": "hfmodel.dev/v1"}, "apiVersion: 'hfmodel.dev/v1' is not hfmodel.dev/v1alpha1"),
        ({"kind": "HFmodel"}, "kind: 'HFmodel' is not HFModel"),
        ({"metadata": {}}, "metadata.name: is required"),
        ({"metadata": {"name": None}}, "metadata.name: is required"),
        ({"metadata": {"name": "a", "lables": {}}}, "metadata.lables: is not a field here; did you mean labels?"),
        (
            {"metadata": {"name": "a", "labels": {"a": 1}}},
            "metadata.labels.a: must be text (got 1): put it in quotes",
        ),
        (
            {"metadata": {"name": "My_Model"}},
            f"metadata.name: 'My_Model' is not {EXPLANATIONS[ID_PATTERN]}",
        ),
        ({"spec": None}, "spec: is required"),
        ({"specs": {}}, "specs: is not a field here; did you mean spec?"),
    ],
)
def test_errors_outside_the_spec(change: dict[str, Any], sentence: str) -> None:
    assert errors({**manifest(), **change}) == [sentence]


def test_every_error_is_told_at_once_and_where() -> None:
    document = manifest(type="txt", maxLength=0, scaling={"minReplicas": 5})
    with pytest.raises(InvalidManifest) as refused:
        parse_manifest(document, origin="models/a.yaml:3")
    assert [error.path for error in refused.value.errors] == ["spec.type", "spec.maxLength", "spec.scaling"]
    assert str(refused.value).startswith("models/a.yaml:3: spec.type: 'txt' is not one of")


@pytest.mark.parametrize("document", [None, [], "text", 3, True], ids=repr)
def test_what_is_no_mapping_is_no_manifest(document: Any) -> None:
    assert errors(document)[0].startswith("must be a mapping")


def test_an_object_read_from_a_cluster_parses_and_stays_as_it_was() -> None:
    document = manifest(type=None)
    document["metadata"] |= {
        "namespace": "models",
        "uid": "u-1",
        "generation": 7,
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "resourceVersion": "12",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "finalizers": [],
        "ownerReferences": [],
    }
    document["status"] = {"phase": "FromTheFuture"}
    before = copy.deepcopy(document)
    model = parse_manifest(document)
    assert (model.id, model.namespace, model.uid, model.generation) == ("smol", "models", "u-1", 7)
    assert (model.labels, model.annotations) == ({"a": "b"}, {"c": "d"})
    assert document == before


def test_metadata_with_nothing_in_it_is_absent() -> None:
    document = manifest() | {"metadata": {"name": "smol", "namespace": None, "labels": None, "annotations": None}}
    model = parse_manifest(document)
    assert (model.namespace, model.labels, model.annotations) == ("default", {}, {})


def test_a_manifest_that_a_model_writes_reads_back_as_the_model() -> None:
    model = parse_manifest(
        manifest(
            type="code",
            scaling={"idleTimeout": "90s", "maxReplicas": 3},
            env=[{"name": "A", "valueFrom": {"fieldRef": {}}}],
            resources={"limits": {"cpu": 2}},
        )
    )
    assert parse_manifest(model.manifest()) == model
    assert model.manifest()["spec"]["scaling"] == {"maxReplicas": 3, "idleTimeout": "1m30s"}


class Union(BaseModel):
    stop: str | list[str] | None = None
    strategy: int = Field(default=0, ge=0)


@pytest.mark.parametrize(
    ("data", "path"),
    [({"stop": 5}, "stop"), ({"stop": ["a", 5]}, "stop"), ({"strategy": -1}, "strategy")],
)
def test_the_branches_of_a_union_are_no_fields(data: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Union.model_validate(data, strict=True)
    assert field_errors(refused.value)[0].path == path


def test_the_types_word_their_errors_as_the_schema_does() -> None:
    with pytest.raises(ValidationError) as refused:
        HFModelSpec.model_validate({"model": "", "source": {"path": ""}, "scaling": {"idleTimeout": "1d"}})
    assert field_errors(refused.value, prefix="spec") == (
        FieldError("spec.model", "must not be empty"),
        FieldError("spec.source.path", "must not be empty"),
        FieldError(
            "spec.scaling.idleTimeout",
            "'1d' is not a duration: write it as 30s, 15m, 1h30m (units: ms, s, m, h; not negative)",
        ),
    )
