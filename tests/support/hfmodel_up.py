"""A real `hfmodel up` in a process of its own, for integration tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

START_SECONDS = 120.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class RunningUp:
    """A server that answers at `url`; `output` is what it printed so far."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_manifest(folder: Path, model_id: str, *, path: Path, **spec: Any) -> Path:
    """A manifest `<folder>/<model_id>.yaml` of a model whose weights lie at `path`."""
    document = {
        "apiVersion": "hfmodel.dev/v1alpha1",
        "kind": "HFModel",
        "metadata": {"name": model_id},
        "spec": {"model": f"local/{model_id}", "source": {"path": str(path)}} | spec,
    }
    file = folder / f"{model_id}.yaml"
    # By rename, as editors and `git pull` do: the watcher must never see half a file.
    draft = folder / f".{file.name}.draft"
    draft.write_text(yaml.safe_dump(document))
    return draft.rename(file)


@contextmanager
def hfmodel_up(catalog: Path, *options: str, work: Path, env: Mapping[str, str] | None = None) -> Iterator[RunningUp]:
    """`hfmodel up catalog options…`, ready; on leaving it is told to end by SIGTERM and must do so."""
    port = free_port()
    log = work / f"up-{port}.log"
    program = Path(sys.executable).with_name("hfmodel")
    command: list[str | Path] = [program, "up", catalog, "--port", str(port), *options]
    if "--cache-dir" not in options:
        command += ["--cache-dir", work / "cache"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True
        )
    running = RunningUp(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_ready(running)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"hfmodel up did not end within {STOP_SECONDS} s:\n{running.output}") from None


def _wait_until_ready(running: RunningUp) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert running.process.poll() is None, f"hfmodel up ended early:\n{running.output}"
        try:
            if httpx.get(f"{running.url}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"hfmodel up was not ready within {START_SECONDS} s:\n{running.output}")
