"""`hfmodel cache`: the runtime's word, as the command line's own."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hfmodel_cli.main import cli
from support.cached_models import cached


def cache(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner(env={"HFMODEL_CACHE": "", **(env or {})}).invoke(cli, ["cache", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cached(tmp_path, "org/new", days=1, branch="main")
    cached(tmp_path, "org/old", days=40)
    return tmp_path


def test_the_cache_of_hfmodel_up_is_listed(folder: Path) -> None:
    result = cache("list", env={"HFMODEL_CACHE": str(folder)})
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["MODEL", "org/new", "org/old", "2"]


def test_another_folder_can_be_named_and_listed_as_json(folder: Path) -> None:
    result = cache("list", "--json", "--cache-dir", folder)
    assert [entry["model"] for entry in json.loads(result.stdout)["entries"]] == ["org/new", "org/old"]


def test_prune_passes_its_options_on(folder: Path) -> None:
    assert "1 would be removed" in cache("prune", "--unused-for", "30d", "--dry-run", "--cache-dir", folder).stdout
    assert "1 removed" in cache("prune", "--unused-for", "30d", "--cache-dir", folder).stdout
    assert "org/old" not in cache("list", "--cache-dir", folder).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["--limit", "lots"], 2, "Error: argument --limit: 'lots' is not a size", id="no-size"),
        pytest.param(["--unused-for", "-1d"], 2, "Error: argument --unused-for: '-1d' is not an age", id="no-age"),
        pytest.param(["--forget", "me"], 1, "Error: there is no keeper 'me'", id="no-keeper"),
        pytest.param(["--cache-dir", "/nowhere"], 1, "Error: there is no cache at /nowhere", id="no-cache"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(folder: Path, arguments: list[str], code: int, says: str) -> None:
    result = cache("prune", *arguments, env={"HFMODEL_CACHE": str(folder)})
    assert result.exit_code == code
    assert says in result.stderr
    assert "hfmodel-runtime" not in result.stderr
