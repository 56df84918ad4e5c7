"""examples/clients as their readers run them, against a real `hfmodel up` with tiny models."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hfmodel_up import hfmodel_up, write_manifest
from support.tiny_models import make_tiny_model

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).resolve().parents[2] / "examples" / "clients"
KEY = "s3cret"
NOBODY = "http://127.0.0.1:9"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serves `talker` (conversational) and `writer`, to those who have the key."""
    work = tmp_path_factory.mktemp("clients")
    catalog = work / "catalog"
    catalog.mkdir()
    weights = make_tiny_model("llama", work / "weights")
    write_manifest(catalog, "talker", path=weights, type="conversational")
    write_manifest(catalog, "writer", path=weights)
    with hfmodel_up(catalog, work=work, env={"API_KEY": KEY, "HF_TOKEN": ""}) as running:
        yield running.url


@pytest.fixture
def run(url: str) -> Run:
    """Runs an example to its end; it must print nothing to standard error unless it fails."""

    def run_example(name: str, *arguments: str, server: str = url, key: str = KEY) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(CLIENTS / name)] if name.endswith(".py") else [str(CLIENTS / name)]
        environment = {**os.environ, "HFMODEL_URL": server, "HFMODEL_API_KEY": key, "NO_PROXY": "127.0.0.1"}
        return subprocess.run(
            [*program, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run_example


def lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_basic_walks_through_the_native_calls(run: Run) -> None:
    printed = lines(run("basic.py", "talker"))
    assert printed[0].startswith("healthy: ")
    assert printed[0].endswith(" of 2 models are loaded")
    assert printed[1:3][0].startswith("  talker: local/talker (conversational), ")
    assert "Model talker loaded successfully" in printed
    assert any(line.startswith("generate: The capital of France is") for line in printed)
    assert sum(line.startswith("chat: ") for line in printed) == 2
    assert printed[-1] == "Model talker unloaded successfully"


def test_compare_asks_every_model(run: Run) -> None:
    printed = lines(run("compare_models.py", "compare", "hello", "talker", "writer"))
    assert [line.partition(" ")[0] for line in printed] == ["talker", "writer"]
    assert all("'hello" in line or '"hello' in line for line in printed)


def test_compare_says_which_model_has_no_answer(run: Run) -> None:
    printed = lines(run("compare_models.py", "compare", "hello", "nobody", "writer"))
    assert "Error: there is no model 'nobody'" in printed[0]
    assert "Error" not in printed[1]


def test_a_batch_is_answered_in_its_order(run: Run) -> None:
    printed = lines(run("compare_models.py", "batch", "writer", "one", "two", "three"))
    texts = [line.partition(": ")[2][1:] for line in printed]
    assert [text.startswith(prompt) for text, prompt in zip(texts, ["one", "two", "three"], strict=True)] == [True] * 3


def test_openais_client_lists_chats_streams_and_completes(run: Run) -> None:
    output = run("openai_sdk.py", "talker").stdout
    starts = [f"{word}: " for word in ("models", "chat", "streaming", "completion")]
    assert [output.find(start) >= 0 for start in starts] == [True] * 4
    assert output.startswith("models: talker, writer\n")
    # The greedy answer is the same, whole or streamed.
    chat, streamed = output.partition("chat: ")[2].split("\nstreaming: ")
    assert streamed.startswith(f"{chat}\ncompletion: ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_an_answer_to_every_call(run: Run) -> None:
    output = "\n".join(lines(run("curl.sh", "talker")))
    for part in ('"status":"healthy"', '"model_id":"talker"', '"generated_text"', '"response"', "[DONE]", '"choices"'):
        assert part in output, part
    assert "Model talker unloaded successfully" in output


PROGRAMS = [("basic.py", "talker"), ("openai_sdk.py", "talker"), ("curl.sh", "talker")]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program[0])
def test_a_wrong_key_is_one_sentence(run: Run, program: tuple[str, ...]) -> None:
    result = run(*program, key="wrong")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    # Health needs no key; what comes next does.
    assert "the API key is not accepted" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "program", [*PROGRAMS, ("compare_models.py", "batch", "writer", "one")], ids=lambda program: program[0]
)
def test_no_server_is_one_sentence(run: Run, program: tuple[str, ...]) -> None:
    result = run(*program, server=NOBODY)
    assert result.returncode != 0
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["basic.py", "compare_models.py", "openai_sdk.py", "curl.sh"])
def test_without_arguments_it_says_how_it_is_called(run: Run, name: str) -> None:
    result = run(name)
    assert result.returncode != 0
    assert f"usage: {name}" in result.stderr
