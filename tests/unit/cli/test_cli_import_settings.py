"""What the old server's settings and environment come to: options of `hfmodel up`, and values of the chart."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from hfmodel_cli.commands.up import up
from hfmodel_cli.main import cli

CHART = Path(__file__).resolve().parents[3] / "charts" / "hfmodel"
SECRET = "hf_abcdefghijklmnop"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(environment: str, *, settings: str = "{}") -> Result:
    """`hfmodel import` of a models.yaml with these settings, beside this environment."""
    Path("models.yaml").write_text(f"models: {{Gpt2: {{name: gpt2}}}}\nsettings: {settings}\n")
    Path("old.env").write_text(environment)
    arguments = ["models.yaml", "--env-file", "old.env", "--values", "values.yaml", "--json"]
    return CliRunner().invoke(cli, ["import", *arguments])


def report(environment: str, *, settings: str = "{}") -> dict[str, Any]:
    result = imported(environment, settings=settings)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


ROWS: list[tuple[str, str, str, Any, list[str]]] = [
    # environment, settings, path in the values, its value, options of `hfmodel up`
    ("MAX_CONCURRENT_MODELS=5", "{}", "runtime.maxLoadedModels", 5, ["--max-loaded", "5"]),
    ("", "{max_concurrent_models: 2}", "runtime.maxLoadedModels", 2, ["--max-loaded", "2"]),
    ("", "{}", "runtime.maxLoadedModels", 3, ["--max-loaded", "3"]),
    ("MAX_CONCURRENT_MODELS=5", "{max_concurrent_models: 2}", "runtime.maxLoadedModels", 5, ["--max-loaded", "5"]),
    ("PORT=9000", "{}", "router.service.port", 9000, ["--port", "9000"]),
    ("DEFAULT_MODEL=Gpt2", "{}", "router.defaultModel", "gpt2", ["--load", "gpt2"]),
    ("CORS_ORIGINS=*", "{}", "router.corsOrigins", ["*"], ["--cors-origin", "*"]),
    (
        'CORS_ORIGINS="https://a.example, http://localhost:3000"',
        "{}",
        "router.corsOrigins",
        ["https://a.example", "http://localhost:3000"],
        ["--cors-origin", "https://a.example", "--cors-origin", "http://localhost:3000"],
    ),
    ("ENABLE_METRICS=false", "{}", "router.metrics", False, []),
    ("LOG_LEVEL=DEBUG", "{}", "router.logLevel", "debug", ["--log-level", "debug"]),
    ("LOG_LEVEL=CRITICAL", "{}", "operator.logLevel", "error", ["--log-level", "error"]),
    ("", "{log_level: WARNING}", "operator.logLevel", "warning", ["--log-level", "warning"]),
    (f"HF_TOKEN={SECRET}", "{}", "huggingface.existingSecret", {"name": "hf-token", "key": "HF_TOKEN"}, []),
    ("HF_ENDPOINT=https://mirror.example.com/", "{}", "huggingface.endpoint", "https://mirror.example.com", []),
    ("HF_HUB_OFFLINE=1", "{}", "huggingface.offline", True, []),
    (f"API_KEY={SECRET}", "{}", "router.apiKeys.existingSecret", {"name": "hfmodel-api-key", "key": "API_KEY"}, []),
]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("environment", "settings", "path", "value", "options"),
    ROWS,
    ids=[" ".join((row[0] + row[1]).split()) for row in ROWS],
)
def test_a_setting_has_its_value_and_its_option(
    environment: str, settings: str, path: str, value: Any, options: list[str]
) -> None:
    found = report(environment, settings=settings)
    assert at(found["values"], path) == value
    assert " ".join(options) in " ".join(found["up"])
    assert yaml.safe_load(Path("values.yaml").read_text()) == found["values"]
    jsonschema.validate(found["values"], json.loads((CHART / "values.schema.json").read_text()))
    # The chart has this value, so it does something.
    at(yaml.safe_load((CHART / "values.yaml").read_text()), path)
    up.make_context("up", found["up"][2:])


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ("HOST=0.0.0.0", "{}"),
        ("", "{cache_dir: /data}"),
        ("LOG_LEVEL=info\nENABLE_METRICS=true\nAPI_KEY=\nHF_ENDPOINT=\nHF_HUB_OFFLINE=0\n", "{}"),
    ],
    ids=["host", "cache", "as the chart has it"],
)
def test_what_the_chart_says_by_itself_is_no_value(environment: str, settings: str) -> None:
    assert report(environment, settings=settings)["values"] == {"runtime": {"maxLoadedModels": 3}}


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("environment", "settings", "options"),
    [("HOST=0.0.0.0", "{}", ["--host", "0.0.0.0"]), ("", "{cache_dir: /data}", ["--cache-dir", "/data"])],
    ids=["host", "cache"],
)
def test_what_only_one_machine_has_is_an_option(environment: str, settings: str, options: list[str]) -> None:
    assert report(environment, settings=settings)["up"][-2:] == options


@pytest.mark.usefixtures("work")
def test_the_idle_timeout_is_in_every_manifest() -> None:
    report("AUTO_UNLOAD_MINUTES=2.5", settings="{auto_unload_after_minutes: 9}")
    manifest = yaml.safe_load(Path("models/gpt2.yaml").read_text())
    assert manifest["spec"]["scaling"] == {"idleTimeout": "2m30s"}


def test_no_secret_is_written_or_printed(work: Path) -> None:
    result = imported(f"HF_TOKEN={SECRET}\nAPI_KEY={SECRET}\nOTHER={SECRET}\n")
    written = [path.read_text() for path in work.rglob("*.yaml")]
    assert result.exit_code == 0
    assert [text for text in (result.output, *written) if SECRET in text] == []
    assert json.loads(result.stdout)["secrets"] == [
        'kubectl create secret generic hf-token --from-literal=HF_TOKEN="$HF_TOKEN"',
        'kubectl create secret generic hfmodel-api-key --from-literal=API_KEY="$API_KEY"',
    ]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("environment", "note"),
    [
        ("WORKERS=4", "WORKERS has no equivalent: one router serves any number of requests at once"),
        ("COLOUR=blue", "COLOUR is not known and was ignored"),
        ("DEFAULT_MODEL=bert", "DEFAULT_MODEL: 'bert' is none of the models, and was ignored"),
        ("LOG_LEVEL=chatty", "the log level 'chatty' has no equivalent"),
        ("CORS_ORIGINS=*", "CORS_ORIGINS: * lets every page call, but without credentials"),
        ("HF_HOME=/data", "HF_HOME: weights are downloaded anew"),
        (f"HUGGINGFACE_TOKEN={SECRET}", "HUGGINGFACE_TOKEN has no equivalent: use HF_TOKEN"),
    ],
    ids=lambda value: value.partition("=")[0] if "=" in value else None,
)
def test_what_is_not_as_it_was_is_told(environment: str, note: str) -> None:
    assert any(found.startswith(note) for found in report(environment)["notes"])


@pytest.mark.usefixtures("work")
def test_what_is_the_same_needs_no_words() -> None:
    text = "# old\nexport PORT=8000\nHOST='0.0.0.0'\nMODEL_CONFIG_PATH=/app/models.yaml\nENABLE_METRICS=1\n\nWORKERS=\n"
    assert [note for note in report(text)["notes"] if "id becomes" not in note] == []


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ("PORT=http", "PORT: "),
        ("PORT=70000", "PORT: must be at most 65535"),
        ("MAX_CONCURRENT_MODELS=0", "MAX_CONCURRENT_MODELS: must be at least 1"),
        ("AUTO_UNLOAD_MINUTES=-1", "AUTO_UNLOAD_MINUTES: must be at least 0"),
        ("ENABLE_METRICS=maybe", "ENABLE_METRICS: "),
        ("CORS_ORIGINS=example.com", "CORS_ORIGINS: 'example.com' is not an origin: write https://host"),
        (f"HF_ENDPOINT=https://me:{SECRET}@mirror.example.com", "HF_ENDPOINT: is not an address of a Hub"),
        (f"PORT=1\nHF_TOKEN {SECRET}", "is not NAME=value"),
    ],
    ids=["no number", "no port", "too few", "negative", "no flag", "no origin", "a password", "no line"],
)
def test_a_bad_variable_is_named_and_nothing_is_written(environment: str, sentence: str) -> None:
    result = imported(environment)
    (error,) = json.loads(result.stdout)["errors"]
    assert result.exit_code == 1
    assert sentence in f"{error['path']}: {error['message']}"
    assert error["origin"].startswith("old.env")
    assert SECRET not in result.output
    assert not Path("models").exists()


@pytest.mark.usefixtures("work")
def test_an_environment_that_is_not_there_is_a_sentence() -> None:
    Path("models.yaml").write_text("models: {a: {name: gpt2}}")
    result = CliRunner().invoke(cli, ["import", "models.yaml", "--env-file", "nope.env"])
    assert (result.exit_code, result.stderr) == (1, "Error: nope.env: No such file or directory\n")
    Path("binary.env").write_bytes(b"\xff\xfe")
    result = CliRunner().invoke(cli, ["import", "models.yaml", "--env-file", "binary.env"])
    assert (result.exit_code, result.stderr) == (1, "Error: binary.env: is not UTF-8\n")
