"""list, load and unload, and what every command does when the server does not play along."""

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hfmodel_api.status import CacheStatus
from hfmodel_cli.main import cli
from hfmodel_cli.output import ago
from hfmodel_cli.progress import progress_text
from support.scripted_router import Answer, ScriptedRouter

Hfmodel = Callable[..., Result]

SMOL: dict[str, Any] = {
    "name": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "type": "instruction",
    "size": "135M",
    "description": "small",
    "max_length": 2048,
    "suggested_temperature": 0.7,
    "gated": False,
    "loaded": True,
    "loading": False,
    "device": "cpu",
    "last_used": "2020-01-01T00:00:00Z",
    "phase": "Ready",
    "message": "",
    "replicas": 2,
    "eta_seconds": 0.0,
    "revision": "0123456789abcdef0123",
}
ASLEEP: dict[str, Any] = {
    **SMOL,
    "name": "gpt2",
    "loaded": False,
    "phase": "Asleep",
    "last_used": None,
    "replicas": 0,
    "eta_seconds": 4.2,
    "message": "no pod\n; the next request\x1b[2J wakes it",
    "revision": None,
}


def test_list_shows_whole_lines_to_a_pipe(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({"smollm2": SMOL, "gpt2": ASLEEP}))
    result = hfmodel("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["ID", "TYPE", "PHASE", "READY", "MODEL", "LAST", "ACTIVE", "MESSAGE"]
    assert lines[1].split()[:5] == ["smollm2", "instruction", "Ready", "2", "HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert lines[1].split()[-2:] == ["ago", "-"]
    assert lines[2].split(maxsplit=6)[:6] == ["gpt2", "instruction", "Asleep", "0", "gpt2", "-"]
    assert lines[2].endswith("no pod ; the next request[2J wakes it")


def test_list_wide_shows_more(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    start = {"container": 0.9, "port": 0.04, "imports": 1.8, "weights": 0.4}
    router.on("GET /models", Answer({"gpt2": {**ASLEEP, "revision": "0123456789abcdef", "start": start}}))
    header, line = hfmodel("list", "--wide").stdout.splitlines()
    assert header.endswith("SIZE  DEVICE  MAX LENGTH  WAKE   REVISION      LAST START")
    assert line.split()[-17:-11] == ["135M", "cpu", "2048", "4.2", "s", "0123456789ab"]
    assert line.endswith("  3.1 s = container 0.9 + imports 1.8 + weights 0.4")


def test_list_wide_of_a_model_that_never_started_shows_no_start(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({"gpt2": {**ASLEEP, "start": {}}}))
    assert hfmodel("list", "--wide").stdout.splitlines()[1].endswith("  -")


def test_list_of_nothing_is_a_header(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({}))
    assert hfmodel("list").stdout.splitlines() == ["ID  TYPE  PHASE  READY  MODEL  LAST ACTIVE  MESSAGE"]


HALF = {"bytes": 2_000_000_000, "total_bytes": 4_000_000_000, "bytes_per_second": 45e6, "seconds_left": 44.4}
FETCHING = {**ASLEEP, "phase": "Fetching", "message": "its weights are being downloaded"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param({"cache": HALF}, ": 2.0 GB of 4.0 GB (50 %), 45.0 MB/s, 44s left", id="all is known"),
        pytest.param({"cache": {"bytes": 5, "total_bytes": 10}}, ": 5 B of 10 B (50 %)", id="no speed yet"),
        pytest.param({"cache": {"bytes": 5, "total_bytes": None}}, ": 5 B", id="no total"),
        pytest.param({"cache": {"bytes": 10, "total_bytes": 10}}, "", id="all is there"),
        pytest.param({"cache": None}, "", id="not begun"),
        pytest.param({"cache": "much"}, "", id="nonsense"),
        pytest.param({"cache": HALF, "phase": "Starting"}, ": 2.0 GB of 4.0 GB", id="its pod downloads"),
        pytest.param({"cache": {"bytes": 5, "total_bytes": 10}, "phase": "Failed"}, "", id="it has stopped"),
    ],
)
def test_list_says_how_far_a_download_is(
    fields: dict[str, Any], says: str, router: ScriptedRouter, hfmodel: Hfmodel
) -> None:
    router.on("GET /models", Answer({"gpt2": {**FETCHING, **fields}}))
    line = hfmodel("list").stdout.splitlines()[1]
    assert line.partition("its weights are being downloaded")[2].startswith(says)
    assert bool(says) == (":" in line)


def test_a_bar_shows_how_far_it_is() -> None:
    cache = CacheStatus.model_validate(HALF)
    assert progress_text(cache, bar=True).startswith("━" * 10 + "╌" * 10 + " 2.0 GB of 4.0 GB (50 %)")


def test_list_as_json_is_what_the_server_said(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({"smollm2": SMOL}))
    result = hfmodel("list", "--json")
    assert json.loads(result.stdout) == {"smollm2": SMOL}
    assert result.stderr == ""


def test_an_old_server_without_phases_is_listed_too(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({"gpt2": {"name": "gpt2", "type": "text", "loaded": True, "last_used": "soon"}}))
    assert hfmodel("list").stdout.splitlines()[1].split() == ["gpt2", "text", "-", "1", "gpt2", "-", "-"]


def test_load_waits_by_default(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("POST /models/smollm2/load", Answer({"message": "Model smollm2 loaded successfully"}))
    result = hfmodel("load", "smollm2", "--timeout", "90")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Model smollm2 loaded successfully\n", "")
    assert router.asked[0].headers["x-hfmodel-hold-timeout"] == "90"


def test_load_need_not_wait(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("POST /models/a%2Fb/load?wait=false", Answer({"message": "Model a/b is being loaded"}))
    assert hfmodel("load", "a/b", "--no-wait").stdout == "Model a/b is being loaded\n"
    assert "x-hfmodel-hold-timeout" not in router.asked[0].headers


def test_unload_as_json(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("POST /models/smollm2/unload", Answer({"message": "Model smollm2 was not loaded"}))
    assert json.loads(hfmodel("unload", "smollm2", "--json").stdout) == {"message": "Model smollm2 was not loaded"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({"detail": "there is no model 'x'"}, status=404), "there is no model 'x'"),
        (Answer({"error": {"message": "no\n\x1b[2J"}}, status=500), "no [2J"),
        (
            Answer({"detail": "wrong key"}, status=401),
            "wrong key (give the key with --api-key or HFMODEL_API_KEY)",
        ),
        (
            Answer({"detail": "too many"}, status=429, headers={"retry-after": "7"}),
            "too many (try again in 7 s)",
        ),
        (Answer(raw=b"<html>", status=502), "the server answered 502 Bad Gateway"),
        (Answer([{"loc": 1}], status=422), "the server answered 422 "),
        (Answer(raw=b"<html>"), "does not answer like an hfmodel server: is the address right?"),
        (Answer([]), "does not answer like an hfmodel server: is the address right?"),
        (Answer({}, status=302), "does not answer like an hfmodel server: is the address right?"),
    ],
    ids=["404", "500", "401", "429", "502 html", "422 list", "200 html", "200 list", "302"],
)
def test_a_no_is_one_line_and_exit_code_1(router: ScriptedRouter, hfmodel: Hfmodel, answer: Answer, error: str) -> None:
    router.on("GET /models", answer)
    result = hfmodel("list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert error in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["load", "a"], ["unload", "a"], ["generate", "a", "b"], ["chat", "a", "b"]],
    ids=lambda a: a[0],
)
def test_without_a_server_the_exit_code_is_3_and_the_error_says_what_to_do(arguments: list[str]) -> None:
    with socket.socket() as free:
        # Bound and not listening: nobody else gets the port, and nobody answers.
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = CliRunner().invoke(cli, [*arguments, "--url", url])
    hint = "start one with `hfmodel up`, or say where it is with --url (or HFMODEL_URL)"
    assert (result.exit_code, result.stderr) == (3, f"Error: no server answers at {url}: {hint}\n")


def test_a_connection_that_breaks_is_exit_code_3(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({}, missing=10))
    result = hfmodel("list")
    assert (result.exit_code, result.stderr) == (3, f"Error: the server at {router.url} broke off the connection\n")


@pytest.mark.parametrize("url", ["foo", "ftp://x", "http://", "http://x:y"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    result = CliRunner().invoke(cli, ["list", "--url", url])
    assert result.exit_code == 2
    assert "is not an address" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "smollm2", "hi", "--temperature", "nan"],
        ["generate", "smollm2", "hi", "--top-p", "nan"],
        ["load", "smollm2", "--timeout", "nan"],
        ["load", "smollm2", "--timeout", "inf"],
        ["list", "--api-key", "\u00e9"],
        ["list", "--api-key", "a\nb"],
    ],
    ids=" ".join,
)
def test_what_is_no_number_and_no_key_is_wrong_usage(hfmodel: Hfmodel, arguments: list[str]) -> None:
    result = hfmodel(*arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[-2]}'" in result.stderr


def test_the_key_travels_as_a_bearer_header_and_never_in_output(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on("GET /models", Answer({"detail": "wrong key"}, status=401))
    result = hfmodel("list", "--api-key", "s3cret")
    assert router.asked[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in result.output


def test_a_proxy_is_not_asked_for_the_way_to_this_machine(
    router: ScriptedRouter, hfmodel: Hfmodel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    router.on("GET /models", Answer({}))
    assert hfmodel("list").exit_code == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")],
)
def test_ages_read_as_in_kubectl(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == text


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    for name in ("up", "validate", "list", "load", "unload", "generate", "chat"):
        assert f"  {name} " in result.stdout


@pytest.mark.parametrize("name", ["validate", "list", "load", "unload", "generate", "chat"])
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "-h"])
    assert (result.exit_code, result.stdout.startswith(f"Usage: cli {name}")) == (0, True)


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["--version"], prog_name="hfmodel").stdout.startswith("hfmodel 0.")
