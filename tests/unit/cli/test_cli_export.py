"""`hfmodel export`: models as an old server's models.yaml."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from hfmodel_api.manifests import load_manifests
from hfmodel_cli.main import cli
from support.scripted_router import Answer, ScriptedRouter

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "catalog"
ROW = {
    "name": "gpt2",
    "type": "text",
    "size": "124M",
    "description": "GPT-2",
    "max_length": 1024,
    "suggested_temperature": 0.8,
    "gated": False,
    "loaded": True,
    "loading": False,
    "device": "cuda:0",
    "last_used": None,
}


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def test_the_example_catalogue_survives_the_way_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exported = export(EXAMPLES)
    assert exported.exit_code == 0
    Path("models.yaml").write_text(exported.stdout)
    assert CliRunner().invoke(cli, ["import", "models.yaml"]).exit_code == 0
    assert export().stdout == exported.stdout
    before, after = load_manifests(EXAMPLES).models, load_manifests(Path("models")).models
    assert [(m.id, m.spec.model, m.spec.max_length) for m in after] == [
        (m.id, m.spec.model, m.spec.max_length) for m in before
    ]


def test_what_a_models_yaml_cannot_say_goes_to_standard_error() -> None:
    gated = "gemma-2b, llama-3.2-1b-instruct, llama-3.2-1b, llama-3.2-3b"
    assert f"Note: a models.yaml cannot say spec.cache.prefetch: {gated}\n" in export(EXAMPLES).stderr


def test_a_folder_of_weights_is_found_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.yaml").write_text(
        "{apiVersion: hfmodel.dev/v1alpha1, kind: HFModel, metadata: {name: a},"
        " spec: {model: mine, source: {path: ../weights/mine}}}"
    )
    monkeypatch.chdir(tmp_path)
    assert yaml.safe_load(export().stdout)["models"]["a"]["name"] == "./weights/mine"


def test_a_broken_catalogue_prints_no_models(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: HFModel")
    result = export(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Error: {tmp_path / 'a.yaml'}: " in result.stderr


def test_no_model_at_all_is_a_sentence(tmp_path: Path) -> None:
    assert export(tmp_path).stderr == "Error: there is no HFModel in what was given\n"


def test_a_server_is_asked_for_what_it_serves(hfmodel: Callable[..., Result], router: ScriptedRouter) -> None:
    router.on("GET /models", Answer({"gpt2-small": ROW, "Gemma": {**ROW, "gated": True, "max_length": None}}))
    result = hfmodel("export", "--from-server")
    assert result.exit_code == 0
    models = yaml.safe_load(result.stdout)["models"]
    assert models["gpt2-small"] == {name: ROW[name] for name in list(ROW)[:6]}
    assert models["gemma"]["gated"] is True


@pytest.mark.parametrize("row", ["text", {"name": 5}, {"type": "text"}], ids=["no mapping", "no repo id", "no name"])
def test_a_server_that_answers_otherwise_is_refused(
    hfmodel: Callable[..., Result], router: ScriptedRouter, row: object
) -> None:
    router.on("GET /models", Answer({"a": row}))
    result = hfmodel("export", "--from-server")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "models.a" in result.stderr


def test_a_catalogue_and_a_server_are_wrong_usage() -> None:
    assert export(EXAMPLES, "--from-server").exit_code == 2
