"""`hfmodel up` as people run it: one command, real weights, real processes, and what remains of them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.alive import parent_of, wait_until_gone, with_marker
from support.hfmodel_up import RunningUp, hfmodel_up, write_manifest
from support.tiny_models import make_tiny_model

pytestmark = pytest.mark.slow

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
PATIENCE_SECONDS = 90.0


def ask(url: str, model: str = "smollm2", **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8, "temperature": 0}
    return httpx.post(f"{url}/v1/chat/completions", json=body | fields, timeout=PATIENCE_SECONDS)


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def completion(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "prompt": prompt, "max_tokens": 4, "temperature": 0, "ignore_eos": True}


def complete(url: str, model: str, prompt: str = "hello") -> httpx.Response:
    return httpx.post(f"{url}/v1/completions", json=completion(model, prompt), timeout=PATIENCE_SECONDS)


def completed(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


def models(url: str) -> dict[str, Any]:
    listed: dict[str, Any] = httpx.get(f"{url}/models", timeout=30).json()
    return listed


def wait_until(holds: Callable[[], object], running: RunningUp) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, running.output
        time.sleep(0.05)


def wait_until_asleep(running: RunningUp, model: str) -> None:
    wait_until(lambda: models(running.url)[model]["phase"] == "Asleep", running)


def runtimes(running: RunningUp) -> set[int]:
    """The processes of pods: their output goes to a pod's log."""
    found = set()
    for pid in with_marker(marker_of(running)):
        try:
            log = Path(f"/proc/{pid}/fd/1").readlink()
        except OSError:
            continue
        if log.parent.parent.name == "run" and log.name not in ("zygote.log", "fetch.log"):
            found.add(pid)
    return found


def marker_of(running: RunningUp) -> str:
    return f"HFMODEL_TEST_MARKER={running.log.parent}"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, catalog: Path) -> Iterator[Callable[..., RunningUp]]:
    """Starts `hfmodel up` on `catalog`; afterwards nothing of it may be left."""
    with ExitStack() as stack:

        def begin(*options: str) -> RunningUp:
            environment = {"HFMODEL_TEST_MARKER": str(tmp_path), "HF_TOKEN": "hf_integration_test"}
            return stack.enter_context(hfmodel_up(catalog, *options, work=tmp_path, env=environment))

        yield begin
    assert with_marker(str(tmp_path)) == set()
    assert [path for path in (tmp_path / "cache" / "run").glob("*") if path.is_dir()] == []


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model("llama", tmp_path_factory.mktemp("tiny") / "llama")


def test_a_request_wakes_idleness_puts_to_sleep_and_the_next_request_wakes_again(
    start: Callable[..., RunningUp], catalog: Path, smollm2_dir: Path
) -> None:
    write_manifest(catalog, "smollm2", path=smollm2_dir, type="instruction", scaling={"idleTimeout": "1s"})
    running = start()
    assert runtimes(running) == set()
    for _ in range(2):
        answer = ask(running.url)
        assert text_of(answer) == ANSWER
        assert float(answer.headers["x-hfmodel-held-seconds"]) > 0
        assert len(runtimes(running)) == 1
        wait_until_asleep(running, "smollm2")
        assert runtimes(running) == set()
    assert running.output.count("waking") == running.output.count("ready in") == 2
    assert "hf_integration_test" not in running.output


def test_200_requests_to_a_sleeping_model_are_all_answered_right_by_one_wake(
    start: Callable[..., RunningUp], catalog: Path, tiny: Path
) -> None:
    write_manifest(catalog, "tiny", path=tiny)
    running = start()
    prompts = [f"prompt number {number}" for number in range(20)]

    async def all_at_once() -> list[str]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits) as client:

            async def one(prompt: str) -> str:
                answer = await client.post(f"{running.url}/v1/completions", json=completion("tiny", prompt))
                return completed(answer)

            return await asyncio.gather(*map(one, prompts * 10))

    answers = asyncio.run(all_at_once())
    assert answers == [completed(complete(running.url, "tiny", prompt)) for prompt in prompts] * 10
    assert running.output.count("waking") == 1


def test_a_client_gets_its_answer_though_the_runtime_is_killed_before_it_is_out(
    start: Callable[..., RunningUp], catalog: Path, smollm2_dir: Path
) -> None:
    write_manifest(catalog, "smollm2", path=smollm2_dir, type="instruction")
    running = start()
    assert text_of(ask(running.url)) == ANSWER
    (before,) = runtimes(running)
    os.kill(before, signal.SIGSTOP)  # so that it surely cannot answer before it is killed
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(ask, running.url)
        wait_until(lambda: in_flight(running) == 1, running)
        os.kill(before, signal.SIGKILL)
        assert text_of(answer.result(PATIENCE_SECONDS)) == ANSWER
    assert runtimes(running).isdisjoint({before})


def in_flight(running: RunningUp) -> float:
    """Requests at a pod now."""
    lines = httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("hfmodel_router_in_flight{"))


def test_manifests_are_followed_while_it_runs(start: Callable[..., RunningUp], catalog: Path, tiny: Path) -> None:
    write_manifest(catalog, "first", path=tiny)
    running = start()
    assert complete(running.url, "second").status_code == 404
    added = write_manifest(catalog, "second", path=tiny)
    wait_until(lambda: "second" in models(running.url), running)
    assert complete(running.url, "second").status_code == 200

    (old,) = runtimes(running)
    write_manifest(catalog, "second", path=tiny, maxLength=32)
    wait_until(lambda: (now := runtimes(running)) and old not in now, running)
    assert complete(running.url, "second").status_code == 200

    added.write_text(added.read_text().replace("maxLength: 32", "maxLength: many"))
    wait_until(lambda: "spec.maxLength" in running.output, running)
    assert complete(running.url, "second").status_code == 200

    added.unlink()
    wait_until(lambda: "second" not in models(running.url), running)
    assert complete(running.url, "second").status_code == 404
    wait_until(lambda: not runtimes(running), running)
    assert running.output.count("spec.maxLength") == 1


def test_with_room_for_one_two_models_take_turns(start: Callable[..., RunningUp], catalog: Path, tiny: Path) -> None:
    for name in "ab":
        write_manifest(catalog, name, path=tiny)
    running = start("--max-loaded", "1")
    for name in "aba":
        assert complete(running.url, name).status_code == 200
        assert len(runtimes(running)) == 1
        assert [model for model, row in models(running.url).items() if row["loaded"]] == [name]


def test_a_model_that_cannot_start_says_why_to_the_caller_and_on_the_terminal(
    start: Callable[..., RunningUp], catalog: Path, tmp_path: Path
) -> None:
    write_manifest(catalog, "broken", path=tmp_path / "nowhere")
    running = start()
    answer = complete(running.url, "broken")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "PathNotFound"
    assert "failed (PathNotFound)" in running.output


def test_only_the_fetch_has_the_token_and_the_parent_of_runtimes_has_one_thread(
    start: Callable[..., RunningUp], catalog: Path, tiny: Path
) -> None:
    write_manifest(catalog, "tiny", path=tiny)
    running = start()
    assert complete(running.url, "tiny").status_code == 200
    # Of this test: others may run at the same time.
    holders = with_marker("HF_TOKEN=hf_integration_test") & with_marker(marker_of(running))
    (pid,) = runtimes(running)
    # What makes its forks safe.
    assert len(list(Path(f"/proc/{parent_of(pid)}/task").iterdir())) == 1
    assert holders == {running.process.pid}


def test_variables_of_a_manifest_hold_from_the_start_of_its_process(
    start: Callable[..., RunningUp], catalog: Path, tiny: Path
) -> None:
    write_manifest(catalog, "tiny", path=tiny, env=[{"name": "OMP_NUM_THREADS", "value": "1"}])
    running = start()
    assert complete(running.url, "tiny").status_code == 200
    (pid,) = runtimes(running)
    assert b"OMP_NUM_THREADS=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_sigterm_answers_what_runs_and_what_waits_and_leaves_nothing(
    start: Callable[..., RunningUp], catalog: Path, tiny: Path
) -> None:
    for name in ("awake", "asleep"):
        write_manifest(catalog, name, path=tiny)
    running = start()
    body = completion("awake", "hello") | {"max_tokens": 40, "stream": True}
    with (
        ThreadPoolExecutor(1) as client,
        httpx.stream("POST", f"{running.url}/v1/completions", json=body, timeout=PATIENCE_SECONDS) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        held = client.submit(complete, running.url, "asleep")
        wait_until(lambda: "asleep  waking" in running.output, running)
        running.process.send_signal(signal.SIGTERM)
        assert [line for line in lines if line][-1] == "data: [DONE]"
        assert held.result(PATIENCE_SECONDS).status_code == 200
    assert running.process.wait(PATIENCE_SECONDS) == 0


def test_a_second_ctrl_c_waits_for_nothing(start: Callable[..., RunningUp], catalog: Path, tiny: Path) -> None:
    write_manifest(catalog, "tiny", path=tiny)
    running = start("--stop-within", "1h")
    assert complete(running.url, "tiny").status_code == 200
    (pid,) = runtimes(running)
    os.kill(pid, signal.SIGSTOP)  # so that its answer never comes
    with ThreadPoolExecutor(1) as client:
        stuck = client.submit(complete, running.url, "tiny")
        wait_until(lambda: in_flight(running) == 1, running)
        running.process.send_signal(signal.SIGINT)
        wait_until(lambda: not accepts(running), running)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(PATIENCE_SECONDS) == 0
        assert stuck.exception(PATIENCE_SECONDS) is not None or stuck.result().status_code >= 500


def accepts(running: RunningUp) -> bool:
    """Whether new connections are taken."""
    try:
        httpx.get(f"{running.url}/healthz", timeout=30)
    except httpx.TransportError:
        return False
    return True


def test_kill_9_leaves_no_process(start: Callable[..., RunningUp], catalog: Path, tiny: Path, tmp_path: Path) -> None:
    write_manifest(catalog, "tiny", path=tiny)
    running = start()
    assert complete(running.url, "tiny").status_code == 200
    left = with_marker(marker_of(running))
    assert len(left) == 3  # itself, the parent of runtimes, a runtime
    running.process.kill()
    running.process.wait()
    wait_until_gone(lambda: left)
    assert list((tmp_path / "cache" / "run").glob("*-*"))  # what it could not clean up
    assert complete(start().url, "tiny").status_code == 200  # the next one does


def test_a_port_in_use_is_one_sentence(catalog: Path, tiny: Path, tmp_path: Path) -> None:
    write_manifest(catalog, "tiny", path=tiny)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = Path(sys.executable).with_name("hfmodel")
        done = subprocess.run(
            [program, "up", catalog, "--port", port, "--cache-dir", tmp_path],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert f"127.0.0.1:{port}" in done.stderr
