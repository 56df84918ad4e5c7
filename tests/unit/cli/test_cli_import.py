"""`hfmodel import`: an old server's models.yaml becomes manifests."""

import errno
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from hfmodel_api.manifests import load_manifests
from hfmodel_api.models_yaml import load_models_yaml
from hfmodel_cli.main import cli

MODELS = """\
models:
  gpt2-small: {name: gpt2, type: text, size: 124M, max_length: 1024, suggested_temperature: 0.8}
  flan-t5-small: {name: google/flan-t5-small, type: instruction, max_length: 512}
settings: {max_concurrent_models: 2, auto_unload_after_minutes: 10}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is where the command is called."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def old(text: str, name: str = "models.yaml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def hfmodel_import(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["import", *map(str, arguments)])


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("work")
def test_each_model_gets_a_manifest_and_the_kustomization_names_them() -> None:
    result = hfmodel_import(old(MODELS))
    assert (result.exit_code, result.stderr) == (0, "")
    assert set(files(Path("models"))) == {"gpt2-small.yaml", "flan-t5-small.yaml", "kustomization.yaml"}
    assert Path("models/gpt2-small.yaml").read_text() == (
        "apiVersion: hfmodel.dev/v1alpha1\n"
        "kind: HFModel\n"
        "metadata:\n"
        "  name: gpt2-small\n"
        "spec:\n"
        "  model: gpt2\n"
        "  size: 124M\n"
        "  maxLength: 1024\n"
        "  suggestedTemperature: 0.8\n"
        "  scaling:\n"
        "    idleTimeout: 10m\n"
    )
    kustomization = yaml.safe_load(Path("models/kustomization.yaml").read_text())
    assert kustomization["resources"] == ["gpt2-small.yaml", "flan-t5-small.yaml"]


@pytest.mark.usefixtures("work")
def test_the_manifests_are_the_models_that_the_file_itself_stands_for() -> None:
    source = old(MODELS)
    hfmodel_import(source)
    loaded = load_manifests(Path("models"))
    assert loaded.errors == ()
    stands_for = {model.id: model for model in load_models_yaml(source).models}
    assert {model.id: model for model in loaded.models} == stands_for


@pytest.mark.usefixtures("work")
def test_it_says_how_to_serve_them() -> None:
    result = hfmodel_import(old(MODELS), "-o", "my models")
    assert result.stdout.splitlines() == [
        "2 manifests and a kustomization.yaml are in my models",
        "here:         hfmodel up 'my models' --max-loaded 2",
        "in a cluster: kubectl apply -k 'my models'",
    ]


@pytest.mark.usefixtures("work")
def test_what_has_no_equivalent_goes_to_standard_error() -> None:
    result = hfmodel_import(old("models: {GPT2: {name: gpt2}}\nsettings: {max_batch_size: 9}\n"))
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Note: settings.max_batch_size has no equivalent: requests join and leave the running batch by themselves",
        "Note: models.GPT2: the id becomes 'gpt2', as names in Kubernetes have it",
    ]


@pytest.mark.usefixtures("work")
def test_json_is_for_programs() -> None:
    result = hfmodel_import(old("models: {GPT2: {name: gpt2}}\n"), "--json")
    assert json.loads(result.stdout) == {
        "written": ["models/gpt2.yaml", "models/kustomization.yaml"],
        "ids": {"GPT2": "gpt2"},
        "up": ["hfmodel", "up", "models", "--max-loaded", "3"],
        "values": {"runtime": {"maxLoadedModels": 3}},
        "secrets": [],
        "notes": ["models.GPT2: the id becomes 'gpt2', as names in Kubernetes have it"],
        "errors": [],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("models: [", "models.yaml:2: is not valid YAML"),
        ("models:\n  a: {name: gpt2}\n  a: {name: gpt2}\n", "models.yaml:3: has the key 'a' twice"),
        ("models: {}", "models.yaml: there is no model in it"),
        ("model: {}", "models.yaml: models: is required: a mapping of ids to models"),
        ("apiVersion: hfmodel.dev/v1alpha1\nkind: HFModel\n", "models: is required: a mapping of ids to models"),
        ("", "models: is required: a mapping of ids to models"),
        ("models: {A: {name: x}, a: {name: y}}", "models.a: becomes the id 'a', which another model has"),
        ("models: {'!': {name: x}}", "models.!: has an id without a letter or digit"),
        ("models: {a: {name: x, type: txt}}", "models.a.type: 'txt' is not one of text, conversational"),
        ("models: {a: {name: x}}\nsettings: {max_concurrent_models: 0}", "settings.max_concurrent_models: must be at"),
    ],
    ids=[
        "broken YAML",
        "an id twice",
        "no model",
        "no models",
        "a manifest",
        "empty",
        "ids that become one",
        "an id of nothing",
        "a bad field",
        "a bad setting",
    ],
)
def test_an_error_is_a_sentence_and_nothing_is_written(work: Path, text: str, sentence: str) -> None:
    result = hfmodel_import(old(text))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert sentence in result.stderr
    assert set(files(work)) == {"models.yaml"}


def test_every_error_is_told_and_json_has_them_too(work: Path) -> None:
    source = old("models: {a: {name: x, type: txt}, b: {max_length: 1}, c: {name: gpt2}}")
    assert hfmodel_import(source).stderr.count("Error: models.yaml: models.") == 2
    result = hfmodel_import(source, "--json")
    assert result.exit_code == 1
    assert [error["path"] for error in json.loads(result.stdout)["errors"]] == ["models.a.type", "models.b.name"]
    assert set(files(work)) == {"models.yaml"}


@pytest.mark.usefixtures("work")
def test_a_missing_file_is_a_sentence() -> None:
    result = hfmodel_import("models.yaml")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        1,
        "Error: models.yaml: cannot be read: No such file or directory",
    )


@pytest.mark.usefixtures("work")
def test_no_file_is_wrong_usage() -> None:
    assert hfmodel_import().exit_code == 2


def test_nothing_is_replaced_unless_forced(work: Path) -> None:
    source = old(MODELS)
    Path("models").mkdir()
    Path("models/gpt2-small.yaml").write_text("mine")
    before = files(work)
    result = hfmodel_import(source, "--values", "values.yaml")
    assert result.exit_code == 1
    assert "there already: models/gpt2-small.yaml. Nothing was written" in result.stderr
    assert files(work) == before
    assert hfmodel_import(source, "--force").exit_code == 0
    assert "kind: HFModel" in Path("models/gpt2-small.yaml").read_text()


@pytest.mark.usefixtures("work")
def test_files_that_were_there_are_named() -> None:
    source = old(MODELS)
    hfmodel_import(source)
    Path("models/gone.yaml").write_text(Path("models/gpt2-small.yaml").read_text())
    result = hfmodel_import(source, "--force")
    assert (
        result.stderr
        == "Note: models/gone.yaml was there before and is left alone; `hfmodel up models` reads it as well\n"
    )


def test_what_cannot_be_written_leaves_nothing_behind(work: Path) -> None:
    source = old(MODELS)
    Path("file").write_text("")
    before = files(work)
    result = hfmodel_import(source, "-o", "new/models", "--values", "file/values.yaml")
    assert result.exit_code == 1
    assert "Nothing was written" in result.stderr
    assert files(work) == before
    assert not Path("new").exists()


@pytest.mark.parametrize("failing", ["gpt2-small.yaml", "flan-t5-small.yaml", "kustomization.yaml", "values.yaml"])
def test_a_disk_that_fails_midway_leaves_what_was_there(
    work: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    source = old(MODELS)
    Path("models").mkdir()
    Path("models/gpt2-small.yaml").write_text("mine")
    before = files(work)
    replace = Path.replace

    def fail(draft: Path, target: Path) -> Path:
        if target.name == failing:
            raise OSError(errno.EIO, "Input/output error", str(target))
        return replace(draft, target)

    with monkeypatch.context() as patch:
        # No disk fails when told to.
        patch.setattr(Path, "replace", fail)
        result = hfmodel_import(source, "--values", "values.yaml", "--force")
    assert result.exit_code == 1
    assert result.stderr.endswith(f"{failing}: Input/output error. Nothing was written\n")
    assert files(work) == before


@pytest.mark.parametrize("output", [".", "../here"], ids=["the same folder", "by another name"])
def test_the_file_must_not_lie_among_its_own_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = hfmodel_import(old(MODELS), "-o", output)
    assert result.exit_code == 1
    assert "would serve its models twice" in result.stderr
    assert set(files(tmp_path)) == {"here/models.yaml"}


@pytest.mark.usefixtures("work")
def test_values_must_not_replace_a_manifest() -> None:
    result = hfmodel_import(old(MODELS), "--values", "models/gpt2-small.yaml")
    assert result.exit_code == 1
    assert "choose another place for --values" in result.stderr


@pytest.mark.usefixtures("work")
def test_a_model_may_be_called_kustomization() -> None:
    assert hfmodel_import(old("models: {kustomization: {name: gpt2}}")).exit_code == 0
    assert [model.id for model in load_manifests(Path("models")).models] == ["kustomization"]
    assert yaml.safe_load(Path("models/kustomization.yaml").read_text())["resources"] == ["kustomization_.yaml"]


@pytest.mark.usefixtures("work")
def test_a_folder_of_weights_is_found_from_where_the_manifest_lies() -> None:
    Path("old").mkdir()
    result = hfmodel_import(old("models: {mine: {name: ./weights/mine}}", "old/models.yaml"), "-o", "new/models")
    spec = load_manifests(Path("new/models")).models[0].spec
    assert Path("new/models", spec.source.path or "").resolve() == Path("old/weights/mine").resolve()
    assert "which only `hfmodel up` can reach" in result.stderr


@pytest.mark.usefixtures("work")
def test_calls_without_an_id_that_go_elsewhere_are_told() -> None:
    text = (
        "models: {b: {name: x}, c: {name: x, type: conversational}, a: {name: y}, d: {name: x, type: conversational}}"
    )
    assert hfmodel_import(old(text)).stderr == (
        "Note: POST /generate without an id went to b; manifests have no order, so it goes to a\n"
    )
