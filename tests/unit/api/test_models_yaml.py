"""The old server's models.yaml, in today's terms."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmodel_api.models_yaml import ModelsYaml, OldSettings, load_models_yaml


def load(folder: Path, document: Any) -> ModelsYaml:
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_models_yaml(path)


def errors(read: ModelsYaml) -> list[str]:
    return [str(error) for each in read.errors for error in each.errors]


def test_every_field_of_a_model_has_its_place(tmp_path: Path) -> None:
    entry = {
        "name": "google/gemma-2b",
        "type": "instruction",
        "size": "2B",
        "description": "Gemma",
        "max_length": 8192,
        "suggested_temperature": 0.6,
        "gated": True,
    }
    read = load(tmp_path, {"models": {"gemma-2b": entry}})
    assert read.errors == ()
    assert read.models[0].manifest() == {
        "apiVersion": "hfmodel.dev/v1alpha1",
        "kind": "HFModel",
        "metadata": {"name": "gemma-2b"},
        "spec": {
            "model": "google/gemma-2b",
            "type": "instruction",
            "size": "2B",
            "description": "Gemma",
            "maxLength": 8192,
            "suggestedTemperature": 0.6,
            "gated": True,
        },
    }
    assert read.notes == ("gated, so a download needs HF_TOKEN or spec.tokenSecretRef: gemma-2b",)


def test_without_settings_the_old_defaults_hold(tmp_path: Path) -> None:
    read = load(tmp_path, {"models": {"gpt2": {"name": "gpt2"}}})
    assert read.settings == OldSettings()
    assert read.settings.idle_timeout == timedelta(minutes=30)
    assert read.models[0].spec.model_dump(exclude_defaults=True) == {"model": "gpt2"}


def test_settings_of_all_models_become_fields_of_each(tmp_path: Path) -> None:
    old = {
        "max_concurrent_models": 2,
        "auto_unload_after_minutes": 7.5,
        "default_device": "cpu",
        "torch_dtype": "torch.float16",
        "trust_remote_code": True,
        "cache_dir": "/models",
    }
    read = load(tmp_path, {"models": {"gpt2": {"name": "gpt2"}}, "settings": old})
    assert (read.errors, read.notes) == ((), ())
    assert (read.settings.max_concurrent_models, read.settings.cache_dir) == (2, "/models")
    assert read.models[0].manifest()["spec"] == {
        "model": "gpt2",
        "device": "cpu",
        "dtype": "float16",
        "scaling": {"idleTimeout": "7m30s"},
        "trustRemoteCode": True,
    }


def test_what_has_no_equivalent_is_said(tmp_path: Path) -> None:
    old = {
        "max_batch_size": 8,
        "low_cpu_mem_usage": True,
        "memory_cleanup_interval_minutes": 1,
        "default_device": "mps",
        "torch_dtype": "int8",
        "colour": "blue",
        "cache_dir": None,
    }
    read = load(tmp_path, {"models": {"gpt2": {"name": "gpt2", "temprature": 1}}, "settings": old})
    assert read.errors == ()
    assert [note.partition(" ")[0].rstrip(":") for note in read.notes] == [
        "settings.max_batch_size",
        "settings.memory_cleanup_interval_minutes",
        "settings.colour",
        "settings.default_device",
        "settings.torch_dtype",
        "models.gpt2.temprature",
    ]


@pytest.mark.parametrize(
    ("old_id", "new_id"),
    [
        ("DialoGPT_small", "dialogpt-small"),
        ("llama-3.2-1b", "llama-3.2-1b"),
        ("..a..b..", "a.b"),
        ("a--b", "a--b"),
        ("-A--b_", "a--b"),
        ("x" * 62 + "-y", "x" * 62),
        (125, "125"),
        ("EleutherAI/pythia", "eleutherai-pythia"),
    ],
)
def test_ids_become_names(tmp_path: Path, old_id: Any, new_id: str) -> None:
    read = load(tmp_path, {"models": {old_id: {"name": "gpt2"}}})
    assert [model.id for model in read.models] == [new_id]
    assert bool(read.notes) == (str(old_id) != new_id)


@pytest.mark.parametrize("where", ["./weights/my model", "/weights/my model", "../my model", "~/my model"])
def test_a_folder_as_name_becomes_a_source(tmp_path: Path, where: str) -> None:
    spec = load(tmp_path, {"models": {"mine": {"name": where}}}).models[0].spec
    assert (spec.model, spec.source.path) == ("my-model", where)


@pytest.mark.parametrize(
    ("document", "blamed"),
    [
        ({"models": {"a": {"name": "gpt2", "type": "txt"}}}, "models.a.type"),
        ({"models": {"a": {"type": "text"}}}, "models.a.name"),
        ({"models": {"a": {"name": "gpt2", "suggested_temperature": 3}}}, "models.a.suggested_temperature"),
        ({"models": {"a": {"name": "gpt2", "max_length": "many"}}}, "models.a.max_length"),
        ({"models": {"a": None}}, "models.a"),
        ({"models": {"!": {"name": "gpt2"}}}, "models.!"),
        ({"models": {"A": {"name": "x"}, "a": {"name": "y"}}}, "models.a"),
        ({"models": {}, "settings": []}, ""),
        ({"models": {}, "settings": "x"}, "settings"),
        ({"models": {}, "settings": {"max_concurrent_models": "three"}}, "settings.max_concurrent_models"),
        ({"models": {}, "settings": {"auto_unload_after_minutes": -1}}, "settings.auto_unload_after_minutes"),
        ({"model": {}}, "models"),
        ({"models": []}, "models"),
        (None, "models"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_errors_have_the_words_of_the_old_file(tmp_path: Path, document: Any, blamed: str) -> None:
    read = load(tmp_path, document)
    assert [error.partition(": ")[0] for error in errors(read)] == ([blamed] if blamed else [])


def test_a_broken_model_hides_no_other(tmp_path: Path) -> None:
    read = load(tmp_path, {"models": {"a": {"name": "gpt2"}, "b": {"name": ""}, "c": {"name": "gpt2"}}})
    assert [model.id for model in read.models] == ["a", "c"]
    assert errors(read) == ["models.b.name: must not be empty"]


def test_a_file_that_is_no_yaml_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models: [")
    assert "is not valid YAML" in str(load_models_yaml(path).errors[0])


def test_settings_from_elsewhere_win(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models: {a: {name: gpt2}}\nsettings: {max_concurrent_models: 2, default_device: cpu}\n")
    read = load_models_yaml(path, settings={"max_concurrent_models": 5, "auto_unload_after_minutes": 1})
    assert read.settings.max_concurrent_models == 5
    assert read.models[0].manifest()["spec"]["scaling"] == {"idleTimeout": "1m"}
    assert read.models[0].spec.device == "cpu"


def test_a_model_remembers_what_it_was_called(tmp_path: Path) -> None:
    read = load(tmp_path, {"models": {"GPT_2": {"name": "gpt2"}, "a": {"name": "gpt2"}}})
    assert read.old_ids == {"gpt-2": "GPT_2", "a": "a"}


@pytest.mark.parametrize(
    ("document", "note"),
    [
        (
            {"models": {"a": {"name": "gpt2", "max_lenght": 5}}},
            "models.a.max_lenght is not known and was ignored; did you mean max_length?",
        ),
        (
            {"models": {}, "settings": {"max_concurent_models": 5}},
            "settings.max_concurent_models is not known and was ignored; did you mean max_concurrent_models?",
        ),
        ({"models": {"a": {"name": "gpt2", "zzz": 5}}}, "models.a.zzz is not known and was ignored"),
    ],
    ids=["field", "setting", "nothing like it"],
)
def test_an_unknown_key_names_the_one_that_was_meant(tmp_path: Path, document: Any, note: str) -> None:
    assert load(tmp_path, document).notes == (note,)
