import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hfmodel_cli.main import cli


def manifest(name: str, *, kind: str = "text") -> str:
    head = f"apiVersion: hfmodel.dev/v1alpha1\nkind: HFModel\nmetadata: {{name: {name}}}\n"
    return f"{head}spec: {{model: gpt2, type: {kind}}}\n"


def validate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["validate", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(manifest("a"))
    (tmp_path / "b.yaml").write_text(manifest("b"))
    return tmp_path


def test_valid_manifests_are_named(folder: Path) -> None:
    result = validate(folder)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "2 valid: a, b\n", "")


def test_every_problem_is_a_line(folder: Path) -> None:
    (folder / "b.yaml").write_text(manifest("B", kind="txt"))
    (folder / "c.yaml").write_text("a: [")
    result = validate(folder)
    assert result.exit_code == 1
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["FILE", "FIELD", "PROBLEM"]
    assert [line.split()[:2] for line in lines] == [
        [str(folder / "b.yaml"), "metadata.name"],
        [str(folder / "b.yaml"), "spec.type"],
        [f"{folder / 'c.yaml'}:2", "-"],
    ]


def test_json_is_for_programs(folder: Path) -> None:
    (folder / "b.yaml").write_text(manifest("b", kind="txt"))
    result = validate("--json", folder)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "valid": False,
        "models": ["a"],
        "errors": [
            {
                "origin": str(folder / "b.yaml"),
                "path": "spec.type",
                "message": "'txt' is not one of text, conversational, code, instruction",
            }
        ],
        "notes": [],
    }


def test_json_of_valid_ones(folder: Path) -> None:
    result = validate("--json", folder / "a.yaml")
    assert (result.exit_code, json.loads(result.stdout)["valid"]) == (0, True)


def test_one_name_in_two_paths_is_a_problem(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "a.yaml"
    other.write_text(manifest("a"))
    result = validate(folder, other)
    assert result.exit_code == 1
    assert f"'a' is defined in {folder / 'a.yaml'} already" in result.stdout


def test_the_same_file_twice_is_not(folder: Path) -> None:
    assert validate(folder, folder / "a.yaml").exit_code == 0


def test_an_old_models_yaml_is_checked_with_notes(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models: {GPT2: {name: gpt2}}\n")
    result = validate(path)
    assert (result.exit_code, result.stdout) == (0, "1 valid: gpt2\n")
    assert result.stderr == "Note: models.GPT2: the id becomes 'gpt2', as names in Kubernetes have it\n"


@pytest.mark.parametrize("content", ["", "kind: Secret\napiVersion: v1\n"], ids=["empty", "another kind"])
def test_no_hfmodel_at_all_is_a_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    result = validate(tmp_path)
    assert (result.exit_code, result.stderr) == (1, "Error: there is no HFModel in what was given\n")


def test_a_missing_path_is_a_problem(tmp_path: Path) -> None:
    result = validate(tmp_path / "nope")
    assert result.exit_code == 1
    assert "no such file or folder" in result.stdout


def test_no_path_is_wrong_usage() -> None:
    assert validate().exit_code == 2
