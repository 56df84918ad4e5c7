"""Settings of a serving process: options win over variables, variables over defaults, and nonsense is named."""

from dataclasses import fields
from pathlib import Path

import pytest

from hfmodel_runtime.settings import ServeSettings

REQUIRED = ["--model-dir", "/models/m", "--model-id", "m"]


def test_defaults() -> None:
    settings = ServeSettings.from_command_line(REQUIRED, {})
    assert settings == ServeSettings(model_dir=Path("/models/m"), model_id="m")
    assert (settings.port, settings.max_body_bytes, settings.drain_timeout) == (8080, 4 * 2**20, 300.0)


def test_everything_can_come_from_the_environment() -> None:
    environ = {
        "HFMODEL_MODEL_DIR": "/models/m",
        "HFMODEL_MODEL_ID": "m",
        "HFMODEL_MODEL": "org/m",
        "HFMODEL_REVISION": "abc",
        "HFMODEL_TYPE": "code",
        "HFMODEL_PORT": "0",
        "HFMODEL_MAX_LENGTH": "512",
        "HFMODEL_SUGGESTED_TEMPERATURE": "0.2",
        "HFMODEL_THREADS": "3",
        "HFMODEL_ALLOW_PICKLE": "true",
        "HFMODEL_TERMINATION_LOG": "/dev/termination-log",
        "HFMODEL_UNRELATED": "left alone",
    }
    assert ServeSettings.from_command_line([], environ) == ServeSettings(
        model_dir=Path("/models/m"),
        model_id="m",
        model="org/m",
        revision="abc",
        type="code",
        port=0,
        max_length=512,
        suggested_temperature=0.2,
        threads=3,
        allow_pickle=True,
        termination_log=Path("/dev/termination-log"),
    )


def test_an_option_wins_over_its_variable() -> None:
    settings = ServeSettings.from_command_line([*REQUIRED, "--port", "9"], {"HFMODEL_PORT": "nonsense, but not read"})
    assert settings.port == 9


@pytest.mark.parametrize(
    ("given", "expected"),
    [("--allow-pickle", True), ("--allow-pickle=true", True), ("--allow-pickle=false", False), (None, False)],
)
def test_a_switch_stands_alone_or_is_assigned(given: str | None, expected: bool) -> None:
    settings = ServeSettings.from_command_line([*REQUIRED, *([given] if given else [])], {})
    assert settings.allow_pickle is expected


WRONG = {
    "option": ([*REQUIRED, "--port", "http"], {}, ("--port", "'http' is not a whole number")),
    "variable": (REQUIRED, {"HFMODEL_PORT": "http"}, ("HFMODEL_PORT", "'http' is not a whole number")),
    "number": (REQUIRED, {"HFMODEL_DRAIN_DELAY": "soon"}, ("HFMODEL_DRAIN_DELAY", "not a number")),
    "switch": (REQUIRED, {"HFMODEL_ALLOW_PICKLE": "maybe"}, ("HFMODEL_ALLOW_PICKLE", "neither true nor false")),
    "range": (REQUIRED, {"HFMODEL_PORT": "65536"}, ("--port (HFMODEL_PORT)", "between 0 and 65535", "65536")),
    "not a number of seconds": ([*REQUIRED, "--drain-delay", "nan"], {}, ("--drain-delay", "not negative")),
    "word": ([*REQUIRED, "--device", "tpu"], {}, ("--device", "auto, cpu, cuda", "tpu")),
    "no directory": (["--model-id", "m"], {}, ("--model-dir", "HFMODEL_MODEL_DIR")),
    "empty id": (["--model-dir", "/m", "--model-id", ""], {}, ("--model-id", "must not be empty")),
    "unknown option": ([*REQUIRED, "--prot", "1"], {}, ("--prot",)),
}


@pytest.mark.parametrize(("argv", "environ", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(
    argv: list[str], environ: dict[str, str], says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        ServeSettings.from_command_line(argv, environ)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert all(words in message for words in says), message


def test_values_are_checked_however_they_come() -> None:
    with pytest.raises(ValueError, match="max_running must be at least 1"):
        ServeSettings(model_dir=Path("/m"), model_id="m", max_running=0)


def test_help_explains_every_setting_and_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        ServeSettings.from_command_line(["--help"], {})
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for setting in fields(ServeSettings):
        assert f"--{setting.name.replace('_', '-')}" in text
        assert f"HFMODEL_{setting.name.upper()}" in text
