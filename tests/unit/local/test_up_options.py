"""`hfmodel up`: what its options and variables mean, and what keeps it from starting."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from hfmodel_cli.commands.up import default_cache_dir, default_idle_timeout, options_from, up
from hfmodel_cli.local.run import UpOptions
from support.local_values import document


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the machine happens to set says nothing here."""
    for name in ("HOST", "PORT", "API_KEY", "LOG_LEVEL", "MODEL_CONFIG_PATH", "HFMODEL_CATALOG", "CORS_ORIGINS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HFMODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m.yaml").write_text(yaml.safe_dump(document()))
    return folder


def parsed(*arguments: str, environment: dict[str, str] | None = None) -> UpOptions:
    """What the command line comes to, without running it."""
    given = environment or {}
    context = up.make_context("up", list(arguments))
    return options_from(context.params, given)


def invoke(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(up, arguments, env=variables)


def test_defaults(catalog: Path, tmp_path: Path) -> None:
    options = parsed(environment={"HFMODEL_CACHE": str(tmp_path / "elsewhere")})
    assert options.backend.catalog == Path("models")
    assert options.backend.cache_dir == tmp_path / "elsewhere"
    assert (options.router.host, options.router.port) == ("127.0.0.1", 8000)
    assert options.backend.defaults.idle_timeout is None
    assert options.backend.defaults.prefetch


def test_every_option_arrives(catalog: Path) -> None:
    options = parsed(
        *(str(catalog), "--host", "::1", "--port", "0", "--max-loaded", "2", "--idle-timeout", "90s", "--no-prefetch"),
        *("--cache-limit", "40Gi"),
        *(
            "--api-key",
            "sk-1, sk-2",
            "--cors-origin",
            "https://a",
            "--cors-origin",
            "https://b",
            "--hold-timeout",
            "1m",
        ),
        *("--load", "a", "--load", "b", "--stop-within", "5s", "--log-level", "INFO", "--json-logs"),
    )
    router, backend = options.router, options.backend
    assert (router.host, router.port, router.hold_timeout, router.drain_timeout) == ("::1", 0, 60, 5)
    assert (router.api_keys, router.cors_origins) == (("sk-1", "sk-2"), ("https://a", "https://b"))
    assert (router.log_level, router.json_logs) == ("info", True)
    assert (backend.max_loaded, backend.stop_within, backend.cache_limit) == (2, 5, 40 * 2**30)
    assert (backend.defaults.idle_timeout, backend.defaults.prefetch) == (timedelta(seconds=90), False)
    assert options.load == ("a", "b")
    assert "sk-1" not in repr(options)


def test_the_old_servers_variables_count(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "9",
        "MAX_CONCURRENT_MODELS": "4",
        "API_KEY": "k",
        "MODEL_CONFIG_PATH": "models",
    }.items():
        monkeypatch.setenv(name, value)
    old = {"AUTO_UNLOAD_MINUTES": "1.5", "CORS_ORIGINS": "https://a,https://b", "DEFAULT_MODEL": "m"}
    options = parsed(environment=old)
    assert (options.router.port, options.backend.max_loaded, options.router.api_keys) == (9, 4, ("k",))
    assert options.backend.defaults.idle_timeout == timedelta(seconds=90)
    assert options.router.cors_origins == ("https://a", "https://b")
    assert options.router.default_model == "m"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"HFMODEL_CACHE": "/a", "HF_HOME": "/b"}, Path("/a"), id="its-own"),
        pytest.param({"HF_HOME": "/b"}, Path("/b/hfmodel"), id="the-hubs"),
        pytest.param({}, Path.home() / ".cache" / "hfmodel", id="home"),
    ],
)
def test_where_the_cache_is(environment: dict[str, str], expected: Path) -> None:
    assert default_cache_dir(environment) == expected


def test_minutes_that_are_no_number_are_named() -> None:
    with pytest.raises(click.UsageError, match="AUTO_UNLOAD_MINUTES"):
        default_idle_timeout({"AUTO_UNLOAD_MINUTES": "soon"})


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["nowhere"], 1, "no catalogue at nowhere", id="no-catalogue"),
        pytest.param([], 1, "there is no ./models here", id="no-default-catalogue"),
        pytest.param([".", "--port", "70000"], 2, "'--port'", id="no-port"),
        pytest.param([".", "--idle-timeout", "5 minutes"], 2, "write it as 30s", id="no-duration"),
        pytest.param([".", "--max-loaded", "0"], 2, "'--max-loaded'", id="no-room"),
        pytest.param([".", "--cache-limit", "much"], 2, "write it as 40Gi", id="no-size"),
        pytest.param([".", "--cache-limit", "0"], 2, "more than nothing", id="no-cache"),
    ],
)
def test_what_makes_no_sense_is_one_clear_sentence(arguments: list[str], code: int, said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == code
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_port_in_use(catalog: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = invoke(str(catalog), "--port", port)
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
    assert "in use" in result.output


def test_a_cache_that_cannot_be_written(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    result = invoke(str(catalog), "--port", "0", "--cache-dir", str(tmp_path / "file" / "cache"))
    assert result.exit_code == 1
    assert "--cache-dir" in result.output


def test_a_model_to_load_that_is_not_there(catalog: Path) -> None:
    result = invoke(str(catalog), "--port", "0", "--load", "absent")
    assert result.exit_code == 1
    assert "no model 'absent'; there are: m" in result.output


def test_help_names_every_option() -> None:
    text = invoke("--help").output
    parameters: list[Any] = [each for each in up.params if isinstance(each, click.Option)]
    assert all(parameter.opts[0] in text for parameter in parameters)
