"""`hfmodel-operator` as a person meets it."""

import io
from pathlib import Path

import pytest
import yaml

from hfmodel_operator.main import main

PICTURE = """
models:
- model: {id: small, spec: {model: org/small, scaling: {idleTimeout: 5m}}}
  template_hash: t1
  cached: true
  pods:
  - name: small-1
    uid: u1
    template_hash: t1
    state: ready
    created_at: 2026-03-01T11:00:00Z
    ready_at: 2026-03-01T11:00:05Z
    activity: {running: 0, queued: 0, requests_total: 3, idle_seconds: 400}
- model: {id: large, spec: {model: org/large}}
  template_hash: t1
  cached: true
  demand: {wantedAt: "2026-03-01T11:59:50Z"}
"""
NOW = ("--now", "2026-03-01T12:00:00Z")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "observed.yaml"
    path.write_text(PICTURE)
    return path


def test_plan_says_what_would_be_done(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--observed", str(picture), *NOW]) == 0
    plan = yaml.safe_load(capsys.readouterr().out)
    assert plan["retires"] == [{"model_id": "small", "pod": "small-1", "uid": "u1", "idle_for_seconds": 300.0}]
    assert plan["creates"] == [{"model_id": "large", "template_hash": "t1"}]
    assert plan["statuses"]["large"]["phase"] == "Starting"
    assert "deletes" not in plan


def test_plan_takes_the_pool_limit(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--observed", str(picture), *NOW, "--max-loaded-models", "1"]) == 0
    assert "creates" not in yaml.safe_load(capsys.readouterr().out)


def test_plan_without_a_time_means_now(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--observed", str(picture)]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["retires"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("models: [", "is not YAML", id="not YAML"),
        pytest.param("models: 3", "models", id="not a list"),
        pytest.param(PICTURE.replace("idleTimeout: 5m", "idleTimeout: 5"), "models[0].model.spec", id="a wrong spec"),
        pytest.param(
            PICTURE.replace("ready_at:", "readyAt:"), "models[0].pods[0].readyAt: is not", id="a misspelled field"
        ),
        pytest.param(PICTURE.replace("11:00:05Z", "11:00:05"), "models[0].pods[0].ready_at: needs", id="no time zone"),
        pytest.param(
            PICTURE.replace('11:59:50Z"', '11:59:50"'), "models[1].demand.wanted_at: needs", id="nor in demand"
        ),
        pytest.param(PICTURE.replace("state: ready", "state: tired"), "'tired' is not one of", id="an unknown state"),
    ],
)
def test_a_bad_picture_is_refused_by_field(
    text: str, says: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture.write_text(text)
    assert main(["plan", "--observed", str(picture), *NOW]) == 1
    assert says in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--observed", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--now", "noon"], "is not a time", id="no time"),
        pytest.param(["--now", "2026-03-01T12:00:00"], "has no time zone", id="no zone"),
        pytest.param(["--max-loaded-models", "-1"], "is not a number of models", id="a negative limit"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], says: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["plan", "--observed", str(picture), *arguments])
    assert says in capsys.readouterr().err


def test_without_a_command_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: hfmodel-operator" in capsys.readouterr().err


def test_run_names_the_setting_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WATCH_NAMESPACE", "models")
    monkeypatch.delenv("HFMODEL_RUNTIME_IMAGE", raising=False)
    assert main(["run"]) == 1
    assert "HFMODEL_RUNTIME_IMAGE is not set" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([option])
    assert "hfmodel" in capsys.readouterr().out


def test_plan_reads_the_picture_from_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PICTURE))
    assert main(["plan", "--observed", "-", *NOW]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["retires"]
