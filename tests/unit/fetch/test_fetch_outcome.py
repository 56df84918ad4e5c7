"""What a fetch in a container leaves for its pod: a link to the model, and the outcome as termination message."""

import json
from pathlib import Path

import pytest

from hfmodel_runtime.fetch.cli import main
from support.model_files import tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    for name, content in tiny_model().items():
        (directory / name).write_bytes(content)
    return directory


def arguments(folder: Path, model: Path) -> list[str]:
    link, log = folder / "link", folder / "termination-log"
    named = ["--path", str(model), "--cache-dir", str(folder / "cache")]
    return [*named, "--link", str(link), "--termination-log", str(log)]


def test_the_link_points_at_the_model_also_after_a_second_try(tmp_path: Path, model: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        assert main(arguments(tmp_path, model)) == 0
        assert (tmp_path / "link").resolve() == model


def test_the_outcome_is_the_termination_message(tmp_path: Path, model: Path) -> None:
    main(arguments(tmp_path, model))
    done = json.loads((tmp_path / "termination-log").read_text())
    assert (done["event"], done["path"], done["revision"]) == ("done", str(model), None)


def test_a_failure_is_the_termination_message_and_makes_no_link(tmp_path: Path) -> None:
    assert main(arguments(tmp_path, tmp_path / "nowhere")) == 1
    assert json.loads((tmp_path / "termination-log").read_text())["reason"] == "PathNotFound"
    assert not (tmp_path / "link").exists()


def test_a_termination_log_that_cannot_be_written_harms_no_fetch(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--path", str(model), "--cache-dir", str(tmp_path / "cache"), "--termination-log", str(tmp_path)]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["event"] == "done"
