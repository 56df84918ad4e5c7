"""`hfmodel-router` as a process: its command line, and a SIGTERM in the middle of a request."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.scripted_runtime import Gate, Received, Script, respond, scripted_runtime

ANSWER = {"generated_text": ["hello world"]}


def _ready_then(script: Script) -> Script:
    async def runtime(request: Received) -> None:
        await (respond({"status": "ok"}) if request.path == "/readyz" else script)(request)

    return runtime


async def _spawn(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "hfmodel_router", *arguments, stderr=PIPE)


@asynccontextmanager
async def _router(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """The process and its URL; killed where the test did not end it."""
    process = await _spawn("--port", "0", *arguments)
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"serving on" in line:
                yield process, line.decode().split()[-1]
                break
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_sigterm_lets_the_running_request_finish() -> None:
    gate = Gate(then=respond(ANSWER))
    async with (
        scripted_runtime(_ready_then(gate)) as pod,
        _router("--backend", f"smollm2={pod.url}") as (process, url),
        aiohttp.ClientSession(url) as http,
    ):
        asking = asyncio.create_task(http.post("/models/smollm2/generate", json={"text": "hello"}))
        await gate.reached.wait()
        process.send_signal(signal.SIGTERM)
        gate.opened.set()
        async with await asking as response:
            assert await response.json() == ANSWER
        assert await process.wait() == 0


async def test_a_second_sigterm_changes_nothing() -> None:
    gate = Gate(then=respond(ANSWER))
    async with _asked_and_told_to_end(gate) as (process, asking):
        process.send_signal(signal.SIGTERM)
        gate.opened.set()
        async with await asking as response:
            assert await response.json() == ANSWER
        assert await process.wait() == 0


async def test_ctrl_c_after_that_ends_it_at_once() -> None:
    async with _asked_and_told_to_end(Gate(then=respond(ANSWER))) as (process, asking):
        process.send_signal(signal.SIGINT)
        async with await asking as response:
            assert response.status == 503
        assert await process.wait() == 0


@asynccontextmanager
async def _asked_and_told_to_end(
    gate: Gate,
) -> AsyncIterator[tuple[Process, "asyncio.Task[aiohttp.ClientResponse]"]]:
    """A router that acted on a SIGTERM while the pod of a request, which ends with the block, waits at `gate`."""
    async with (
        scripted_runtime(_ready_then(gate)) as pod,
        _router("--backend", f"smollm2={pod.url}") as (process, url),
        aiohttp.ClientSession(url) as http,
    ):
        asking = asyncio.create_task(http.post("/models/smollm2/generate", json={"text": "hello"}))
        await gate.reached.wait()
        process.send_signal(signal.SIGTERM)
        # The listener is closed once the signal was acted on.
        while True:
            try:
                async with aiohttp.ClientSession() as other, other.get(f"{url}/healthz"):
                    pass
            except aiohttp.ClientConnectorError:
                break
        yield process, asking


async def test_manifests_describe_the_models(tmp_path: Path) -> None:
    manifest = tmp_path / "smollm2.yaml"
    manifest.write_text(
        "apiVersion: hfmodel.dev/v1alpha1\nkind: HFModel\nmetadata: {name: smollm2}\n"
        "spec: {model: HuggingFaceTB/SmolLM2-135M-Instruct, size: 135M}\n"
    )
    async with (
        _router("--catalog", str(tmp_path)) as (_, url),
        aiohttp.ClientSession(url) as http,
        http.get("/models") as response,
    ):
        body = await response.json()
    assert body["smollm2"]["size"] == "135M"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--backend", "nonsense"), "ID=URL"),
        (("--catalog", "/nowhere"), "/nowhere"),
        (("--port", "99999"), "99999"),
    ],
    ids=["backend", "catalogue", "port"],
)
async def test_what_cannot_be_used_is_one_sentence_and_status_2(arguments: tuple[str, ...], says: str) -> None:
    process = await _spawn(*arguments)
    _, error = await process.communicate()
    assert process.returncode == 2
    assert says in error.decode()
    assert "Traceback" not in error.decode()
