"""What only a process shows: signals, pipes, exit codes."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scripted_router import Answer, ScriptedRouter, scripted_router, sse

COMMAND = [sys.executable, "-m", "hfmodel_cli"]


@pytest.fixture
def router() -> Iterator[ScriptedRouter]:
    with scripted_router() as script:
        yield script


def test_ctrl_c_ends_an_answer_with_130_and_without_a_traceback(router: ScriptedRouter) -> None:
    never = threading.Event()
    router.on("POST /v1/completions", Answer(chunks=(sse({"choices": [{"text": "Once"}]}), never)))
    command = [*COMMAND, "generate", "smol", "p", "--url", router.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"Once"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    never.set()
    assert (process.returncode, stderr.strip()) == (130, b"")


def test_a_reader_that_went_away_is_not_complained_about(router: ScriptedRouter) -> None:
    router.on("GET /models", Answer({"a": {}}))
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [*COMMAND, "list", "--url", router.url], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["list", "list --json", "generate smol once"])
def test_a_stream_that_was_closed_is_not_complained_about(command: str, closed: str, router: ScriptedRouter) -> None:
    router.on("GET /models", Answer({"a": {}}))
    router.on("POST /v1/completions", Answer(chunks=(sse({"choices": [{"text": "upon"}]}), b"data: [DONE]\n\n")))
    line = f"{shlex.join(COMMAND)} {command} --url {router.url} {closed}"
    result = subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: only Linux has a disk that is always full")
def test_a_full_disk_is_one_sentence(router: ScriptedRouter) -> None:
    router.on("GET /models", Answer({"a": {}}))
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, "list", "--json", "--url", router.url]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (1, b"Error: the output: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["validate", "nope"], 1), (["lst"], 2), (["list", "--url", "http://127.0.0.1:9"], 3)]
)
def test_exit_codes(arguments: list[str], code: int, tmp_path: Path) -> None:
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=60, cwd=tmp_path, check=False)
    assert result.returncode == code


def test_the_list_of_commands_imports_none_of_them() -> None:
    check = (
        "import sys; from hfmodel_cli.main import cli",
        "cli(['--help'], standalone_mode=False)",
        "print(sorted(sys.modules))",
    )
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(check)], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = result.stdout.splitlines()[-1]
    assert not any(f"'{name}'" in loaded for name in ("httpx", "rich", "fastapi", "aiohttp", "pydantic"))
