"""Catalogues: files and folders of manifests."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from hfmodel_api.manifests import LoadedManifests, load_manifests

HEAD = "apiVersion: hfmodel.dev/v1alpha1\nkind: HFModel\n"


def text(name: str, *, model: str = "gpt2") -> str:
    return f"{HEAD}metadata: {{name: {name}}}\nspec: {{model: {model}}}\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def ids(loaded: LoadedManifests) -> list[str]:
    return [model.id for model in loaded.models]


def errors(loaded: LoadedManifests, folder: Path) -> list[str]:
    return [str(error).replace(f"{folder}/", "") for error in loaded.errors]


def test_a_folder_is_read_in_order_with_its_subfolders(tmp_path: Path) -> None:
    write(
        tmp_path, {"b.yml": text("b"), "a.yaml": text("a"), "sub/c.json": json_of("c"), "z.txt": "no", "README.md": "#"}
    )
    loaded = load_manifests(tmp_path)
    assert (ids(loaded), loaded.errors) == (["a", "b", "c"], ())
    assert loaded.origins == {"a": tmp_path / "a.yaml", "b": tmp_path / "b.yml", "c": tmp_path / "sub/c.json"}
    assert loaded.settings is None


def json_of(name: str) -> str:
    return json.dumps(item(name))


def item(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "hfmodel.dev/v1alpha1",
        "kind": "HFModel",
        "metadata": {"name": name},
        "spec": {"model": "gpt2"},
    }


def test_hidden_files_and_kustomizations_are_not_read(tmp_path: Path) -> None:
    files = {".a.yaml": "[", ".git/b.yaml": "[", "..data/c.yaml": "[", "kustomization.yaml": "resources: [a.yaml]"}
    assert load_manifests(write(tmp_path, files)) == LoadedManifests()


def test_weights_beside_a_manifest_are_not_read(tmp_path: Path) -> None:
    files = {"a.yaml": text("a"), "weights/config.json": "{}", "weights/tokenizer.json": "{", "weights/sub/b.yaml": "{"}
    loaded = load_manifests(write(tmp_path, files))
    assert (ids(loaded), loaded.errors) == (["a"], ())


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, {"..2026/a.yaml": text("a")})
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert ids(load_manifests(tmp_path)) == ["a"]


def test_a_pipe_in_the_folder_blocks_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert load_manifests(write(tmp_path, {"a.yaml": text("a")})).errors == ()


def test_documents_of_other_kinds_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = "apiVersion: v1\nkind: Secret\n---\nimage: x\n---\n[a]\n---\njust text\n---\n" + text("a")
    with caplog.at_level(logging.DEBUG):
        loaded = load_manifests(write(tmp_path, {"all.yaml": content}))
    assert (ids(loaded), loaded.errors) == (["a"], ())
    assert "kind=Secret" in caplog.text


@pytest.mark.parametrize("kind", ["List", "HFModelList"])
def test_a_list_is_its_items(tmp_path: Path, kind: str) -> None:
    broken = item("B!")
    document = {"apiVersion": "v1", "kind": kind, "items": [item("a"), {"kind": "Secret"}, broken, item("c")]}
    loaded = load_manifests(write(tmp_path, {"list.json": json.dumps(document)}))
    assert ids(loaded) == ["a", "c"]
    assert errors(loaded, tmp_path)[0].startswith("list.json (item 3): metadata.name: 'B!' is not a name")


def test_of_two_with_one_name_the_first_stays(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": text("same"), "b.yaml": f"{text('b')}---\n{text('same', model='other')}"})
    loaded = load_manifests(tmp_path)
    assert [(model.id, model.spec.model) for model in loaded.models] == [("same", "gpt2"), ("b", "gpt2")]
    assert errors(loaded, tmp_path) == ["b.yaml:5: metadata.name: 'same' is defined in a.yaml already"]


def test_what_is_broken_hides_nothing(tmp_path: Path) -> None:
    write(
        tmp_path, {"a.yaml": f"x: [\n---\n{text('a')}", "b.yaml": text("b").replace("gpt2", "''"), "c.yaml": text("c")}
    )
    (tmp_path / "d.yaml").write_bytes(b"\xff")
    loaded = load_manifests(tmp_path)
    assert ids(loaded) == ["a", "c"]
    assert [error.split(": ")[0] for error in errors(loaded, tmp_path)] == ["a.yaml:2", "b.yaml", "d.yaml:1"]


@pytest.mark.parametrize(
    ("change", "blamed"),
    [
        (("v1alpha1", "v1"), "apiVersion"),
        (("hfmodel.dev/", "hfmodels.dev/"), "apiVersion"),
        (("HFModel", "HfModel"), "kind"),
        (("kind: HFModel\n", ""), "kind"),
        (("apiVersion: hfmodel.dev/v1alpha1\n", ""), "apiVersion"),
        ((HEAD, ""), "apiVersion"),
    ],
    ids=["version", "group", "capitals", "no kind", "no version", "neither"],
)
def test_a_misspelt_head_does_not_make_a_model_vanish(tmp_path: Path, change: tuple[str, str], blamed: str) -> None:
    path = write(tmp_path, {"a.yaml": text("a").replace(*change)}) / "a.yaml"
    loaded = load_manifests(path)
    assert loaded.models == ()
    assert loaded.errors[0].errors[0].path == blamed


def test_a_single_file_may_have_any_name(tmp_path: Path) -> None:
    path = write(tmp_path, {"catalogue": text("a")}) / "catalogue"
    assert ids(load_manifests(path)) == ["a"]


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    assert errors(load_manifests(tmp_path / "nope"), tmp_path) == ["nope: no such file or folder"]


def test_an_old_models_yaml_is_read_as_one(tmp_path: Path) -> None:
    old = "models: {gpt2: {name: gpt2, type: text}, B_1: {name: x}}\nsettings: {max_concurrent_models: 2}\n"
    loaded = load_manifests(write(tmp_path, {"a.yaml": text("gpt2", model="mine"), "models.yaml": old}))
    assert [(model.id, model.spec.model) for model in loaded.models] == [("gpt2", "mine"), ("b-1", "x")]
    assert errors(loaded, tmp_path) == ["models.yaml: metadata.name: 'gpt2' is defined in a.yaml already"]
    assert loaded.settings is not None
    assert loaded.settings.max_concurrent_models == 2
    assert loaded.notes == ("models.B_1: the id becomes 'b-1', as names in Kubernetes have it",)


def test_a_relative_source_stays_as_written(tmp_path: Path) -> None:
    manifest = text("a").replace("{model: gpt2}", "{model: gpt2, source: {path: ../weights}}")
    loaded = load_manifests(write(tmp_path, {"sub/a.yaml": manifest}))
    assert loaded.models[0].spec.source.path == "../weights"
    assert loaded.origins["a"].parent == tmp_path / "sub"
