"""Starting one process, ours or the baseline, until it can give or has given a first token."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from bench.ports import free_port

_PATIENCE = 120.0  # seconds
_LOOK = 0.01  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Started:
    """One start. Seconds: of the wall clock, of all CPUs, and of each stage."""

    seconds: float
    cpu_seconds: float
    stages: dict[str, float]


def plain(model_dir: Path) -> Started:
    """The baseline, from the start of the interpreter to the first token."""
    command = [sys.executable, "-m", "bench.cold_start.plain", str(model_dir)]
    began, cpu = time.perf_counter(), _children_seconds()
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False, timeout=_PATIENCE)
    if done.returncode:
        raise SystemExit(f"the baseline failed; its last words:\n{done.stderr[-2000:]}")
    seconds = time.perf_counter() - began
    stages = json.loads(done.stdout.splitlines()[-1])
    return Started(seconds, _children_seconds() - cpu, {"port": seconds - sum(stages.values()), **stages})


def ours(model_dir: Path) -> Started:
    """A runtime, from the start of its process until it says that it is ready; its first token is computed then."""
    port = free_port()
    options = ["--model-dir", str(model_dir), "--model-id", "m", "--port", str(port)]
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "hfmodel_runtime", "serve", *options], env=_environment(), stderr=subprocess.DEVNULL
    ) as popen:
        try:
            _until_ready(popen, f"http://127.0.0.1:{port}/readyz")
            seconds = time.perf_counter() - began
            times = psutil.Process(popen.pid).cpu_times()
            with urlopen(f"http://127.0.0.1:{port}/activity", timeout=10) as answer:
                stages = json.load(answer)["start"]["stages"]
        finally:
            popen.kill()
    return Started(seconds, times.user + times.system, stages)


def _until_ready(popen: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _is_ready(url):
        if popen.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the runtime did not become ready; `hfmodel-runtime serve` by hand says why")
        time.sleep(_LOOK)


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:  # noqa: S310 - an address of our own making
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _environment() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1"}


def _children_seconds() -> float:
    """CPU time of the children that have ended."""
    times = os.times()
    return times.children_user + times.children_system
