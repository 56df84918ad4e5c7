"""HFModels as an old server's models.yaml, and back again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmodel_api.models_yaml import ModelsYaml, read_models_yaml
from hfmodel_api.models_yaml_export import export_models_yaml
from hfmodel_api.names import ID_PATTERN
from hfmodel_api.patterns import REPO_ID
from hfmodel_api.spec import Device, Dtype, HFModel, HFModelSpec, ModelType, Scaling, Source


def model(model_id: str = "a", **spec: Any) -> HFModel:
    return HFModel(id=model_id, spec=HFModelSpec(**{"model": "gpt2", **spec}))


def back(document: Any) -> ModelsYaml:
    return read_models_yaml(document, origin="models.yaml")


_IDS = st.from_regex(ID_PATTERN.replace("$", r"\Z"), fullmatch=True).filter(lambda name: len(name) <= 63)
_REPOS = st.from_regex(REPO_ID.replace("$", r"\Z"), fullmatch=True).filter(lambda name: len(name) <= 200)
_SAID = {
    "type": st.sampled_from(ModelType),
    "description": st.text(max_size=50),
    "size": st.text(max_size=10),
    "max_length": st.none() | st.integers(1, 10_000_000),
    "suggested_temperature": st.floats(0, 2),
    "gated": st.booleans(),
}
_SHARED = {
    "device": st.sampled_from(Device),
    "dtype": st.sampled_from(Dtype),
    "trust_remote_code": st.booleans(),
    "idle": st.integers(0, 10_000).map(lambda seconds: timedelta(seconds=seconds)),
}
_FOLDERS = st.sampled_from(["./weights/my model", "/weights/mine", "../mine", "~/mine"])


@st.composite
def _catalogues(draw: st.DrawFn) -> list[HFModel]:
    """Models that a models.yaml can say, and now and then something that it cannot."""
    shared = draw(st.fixed_dictionaries(_SHARED))
    idle = shared.pop("idle")
    models = []
    for model_id in draw(st.lists(_IDS, unique=True, max_size=4)):
        spec: dict[str, Any] = {"model": draw(_REPOS), **draw(st.fixed_dictionaries(_SAID)), **shared}
        spec["scaling"] = Scaling(idle_timeout=idle, max_replicas=draw(st.sampled_from([1, 1, 1, 2])))
        if draw(st.booleans()):
            spec["source"] = Source(path=draw(_FOLDERS))
            spec["model"] = draw(st.sampled_from(["my-model", "mine"]))
        if draw(st.integers(0, 9)) == 0:
            spec["device"] = draw(_SHARED["device"])
        models.append(model(model_id, **spec))
    return models


@settings(max_examples=60, deadline=None)  # each parses up to four manifests
@given(_catalogues())
def test_an_export_without_notes_is_read_back_as_the_same_models(models: list[HFModel]) -> None:
    exported = export_models_yaml(models)
    read = back(exported.document)
    assert read.errors == ()
    assert [each.id for each in read.models] == [each.id for each in models]
    assert (list(read.models) == models) == (not exported.notes)


def test_every_field_of_the_old_server_is_written() -> None:
    exported = export_models_yaml([model(max_length=1024), model("b", gated=True)])
    assert exported.document == {
        "models": {
            "a": {
                "name": "gpt2",
                "type": "text",
                "size": "",
                "description": "",
                "max_length": 1024,
                "suggested_temperature": 0.7,
            },
            "b": {
                "name": "gpt2",
                "type": "text",
                "size": "",
                "description": "",
                "suggested_temperature": 0.7,
                "gated": True,
            },
        }
    }


def test_what_all_models_share_becomes_a_setting() -> None:
    shared = {"device": Device.CPU, "dtype": Dtype.BFLOAT16, "scaling": Scaling(idle_timeout=timedelta(seconds=90))}
    exported = export_models_yaml([model("a", **shared), model("b", **shared)])
    assert exported.document["settings"] == {
        "auto_unload_after_minutes": 1.5,
        "default_device": "cpu",
        "torch_dtype": "bfloat16",
    }
    assert exported.notes == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"revision": "v2"}, "spec.revision"),
        ({"device": "cuda"}, "spec.device"),
        ({"trust_remote_code": True}, "spec.trustRemoteCode"),
        ({"scaling": {"idleTimeout": "1m"}}, "spec.scaling.idleTimeout"),
        ({"scaling": {"idleTimeout": "9999999h"}}, "spec.scaling.idleTimeout"),
        ({"scaling": {"minReplicas": 1}}, "spec.scaling.minReplicas"),
        ({"cache": {"prefetch": False}}, "spec.cache.prefetch"),
        ({"source": {"hub": {"endpoint": "https://mirror.example.com"}}}, "spec.source"),
        ({"source": {"path": "/weights/other-name"}}, "spec.model"),
        ({"gpu": {"count": 2}}, "spec.gpu"),
        ({"env": [{"name": "A", "value": "1"}]}, "spec.env"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_models_yaml_cannot_say_is_said(spec: dict[str, Any], path: str) -> None:
    special = HFModel(id="special", spec=HFModelSpec.model_validate({"model": "gpt2", **spec}))
    assert export_models_yaml([model("plain"), special]).notes[0].startswith(f"a models.yaml cannot say {path}: ")


def test_labels_and_annotations_are_not_said() -> None:
    labelled = model().model_copy(update={"labels": {"team": "a"}, "annotations": {"b": "c"}})
    assert [note.split()[-2:] for note in export_models_yaml([labelled]).notes] == [
        ["metadata.labels:", "a"],
        ["metadata.annotations:", "a"],
    ]


def test_a_note_names_a_few_models() -> None:
    models = [model(f"m{number}", revision="v2") for number in range(7)]
    assert export_models_yaml(models).notes == (
        "a models.yaml cannot say spec.revision: m0, m1, m2, m3, m4 and 2 more",
    )


def test_a_folder_beside_the_manifest_gets_a_name_that_is_no_repo() -> None:
    exported = export_models_yaml([model(model="mine", source=Source(path="weights/mine"))])
    assert exported.document["models"]["a"]["name"] == "./weights/mine"
    assert exported.notes == ()
