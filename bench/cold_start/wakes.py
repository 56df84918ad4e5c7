"""A model that is put to sleep and woken, over and over: of `hfmodel up`, or of any server."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil

from bench.ports import free_port

_ID = "m"
_PATIENCE = 120.0  # seconds
_LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one process: all it has mapped, and its share of them where others map them too."""

    resident: int
    proportional: int


@dataclass(frozen=True, slots=True)
class Wakes:
    """What was seen of some wakes.

    Attributes:
        seconds: from a request to the first byte of its answer, of each wake.
        stages: of each wake; the last of them, `answer`, is what no other stage accounts for.
    """

    seconds: tuple[float, ...]
    stages: tuple[dict[str, float], ...]


@dataclass(frozen=True, slots=True)
class LocalWakes:
    """Those of `hfmodel up`, and what the parent of the runtimes and one of them (model and all) take."""

    wakes: Wakes
    parent: Memory
    runtime: Memory


def local_wakes(model_dir: Path, *, count: int) -> LocalWakes:
    """Wake a model of an `hfmodel up` of its own."""
    with _up(model_dir) as (url, pid):
        seen = wakes(url, _ID, count=count)
        parent, runtime = _forked(pid)
        return LocalWakes(seen, _memory(parent), _memory(runtime))


def wakes(url: str, model_id: str, *, count: int) -> Wakes:
    """Wake the model at `url` `count` times, and once before, for what only the first wake pays for."""
    _wake(url, model_id)
    told = _stages(url, model_id, other_than={})
    seconds, stages = [], []
    for _ in range(count):
        _sleep(url, model_id)
        taken = _wake(url, model_id)
        told = _stages(url, model_id, other_than=told)
        seconds.append(taken)
        stages.append({**told, "answer": max(0.0, taken - sum(told.values()))})
    return Wakes(tuple(seconds), tuple(stages))


@contextmanager
def _up(model_dir: Path) -> Iterator[tuple[str, int]]:
    """The address of an `hfmodel up`, and its pid; it ends with everything it started."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        manifest = {
            "apiVersion": "hfmodel.dev/v1alpha1",
            "kind": "HFModel",
            "metadata": {"name": _ID},
            "spec": {"model": "bench/cold-start", "source": {"path": str(model_dir.resolve())}},
        }
        catalogue = Path(folder, "model.json")
        catalogue.write_text(json.dumps(manifest))
        command = [sys.executable, "-m", "hfmodel_cli", "up", str(catalogue), "--port", str(port)]
        command += ["--cache-dir", str(Path(folder, "cache")), "--stop-within", "1s"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as popen:
            try:
                _until(lambda: _answers(f"http://127.0.0.1:{port}"), popen)
                yield f"http://127.0.0.1:{port}", popen.pid
            finally:
                popen.terminate()


def _wake(url: str, model_id: str) -> float:
    """Seconds from a request for one token to the first byte of its answer."""
    body = {"model": model_id, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    began = time.perf_counter()
    with _post(f"{url}/v1/completions", body) as response:
        response.read(1)
        return time.perf_counter() - began


def _sleep(url: str, model_id: str) -> None:
    """Put the model to sleep; returns once it has no pod."""
    with _post(f"{url}/models/{model_id}/unload", {}):
        pass
    _until(lambda: _row(url, model_id)["phase"] == "Asleep")


def _stages(url: str, model_id: str, *, other_than: dict[str, float]) -> dict[str, float]:
    """Of the last start, once they are told; those of the start before are known."""
    _until(lambda: _row(url, model_id)["start"] not in ({}, other_than))
    return dict(_row(url, model_id)["start"])


def _row(url: str, model_id: str) -> dict[str, Any]:
    with urlopen(f"{url}/models", timeout=10) as response:  # noqa: S310 - an address that was given
        return dict(json.load(response)[model_id])


def _post(url: str, body: dict[str, Any]) -> Any:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})  # noqa: S310 - as above
    return urlopen(request, timeout=_PATIENCE)  # noqa: S310


def _answers(url: str) -> bool:
    try:
        return bool(_row(url, _ID))
    except (URLError, OSError):
        return False


def _until(holds: Any, popen: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline or (popen is not None and popen.poll() is not None):
            raise SystemExit("`hfmodel up` did not come to where it should; started by hand it says why")
        time.sleep(_LOOK)


def _forked(pid: int) -> tuple[psutil.Process, psutil.Process]:
    """The parent of the runtimes, and its one child."""
    for process in psutil.Process(pid).children(recursive=True):
        if "zygote" in process.cmdline() and (children := process.children()):
            return process, children[0]
    raise SystemExit("there is no runtime forked from a parent")


def _memory(process: psutil.Process) -> Memory:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    sizes = {line.split()[0].rstrip(":"): int(line.split()[1]) * 1024 for line in lines}
    return Memory(resident=sizes["Rss"], proportional=sizes["Pss"])
