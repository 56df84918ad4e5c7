"""The processes of one run: a backend, a proxy or several, and the load."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil

from bench.ports import free_port
from bench.relay import traffic
from bench.relay.proxies import Proxy

_PATIENCE = 60.0  # seconds to be ready, on a busy machine


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that answers."""

    name: str
    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU time used so far, by the process and its children."""
        times = [each.cpu_times() for each in self._all()]
        return float(sum(each.user + each.system for each in times))

    def resident_bytes(self) -> int:
        return sum(int(each.memory_info().rss) for each in self._all())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def raise_file_limit() -> None:
    """Two thousand streams are four thousand sockets of a proxy; children inherit the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def backend(folder: Path) -> Iterator[int]:
    """A backend; its port."""
    port = free_port()
    command = (sys.executable, "-m", "bench.relay.backend", str(port))
    with _process(command, url=f"http://127.0.0.1:{port}", log=folder / "backend.log"):
        yield port


@contextmanager
def running(proxy: Proxy, *, backend: int, folder: Path) -> Iterator[Running]:
    """Started, and ended afterwards."""
    port = free_port()
    own = folder / f"{proxy.name}-{port}"
    own.mkdir()
    words = {"port": str(port), "backend": str(backend), "folder": str(own), "config": str(own / "config")}
    (own / "config").write_text(proxy.config.format(**words))
    url = f"http://127.0.0.1:{port}"
    command = [word.format(**words) for word in proxy.command]
    with _process(command, url=url, log=own / "log", environment=proxy.environment) as popen:
        yield Running(proxy.name, url, psutil.Process(popen.pid))


def load(kind: str, urls: Sequence[str], **options: float) -> dict[str, Any]:
    """What the load generator saw."""
    done = subprocess.run(_load_command(kind, urls, options), stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the load on {', '.join(urls)} failed; what it printed stands above")
    return dict(json.loads(done.stdout))


@contextmanager
def held_streams(url: str, streams: int) -> Iterator[None]:
    """So many streams are open in the block."""
    command = _load_command("hold", [url], {"connections": streams})
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        if popen.stdout is None or popen.stdin is None or popen.stdout.readline() != b"open\n":
            raise SystemExit(f"{streams} streams could not be opened at {url}")
        try:
            yield
        finally:
            popen.kill()


def _load_command(kind: str, urls: Sequence[str], options: dict[str, float]) -> list[str]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "bench.relay.load", kind, *urls, *words]


@contextmanager
def _process(
    command: Sequence[str], *, url: str, log: Path, environment: Any = None
) -> "Iterator[subprocess.Popen[bytes]]":
    with log.open("w") as output:
        popen = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | dict(environment or {}))
        with popen:
            try:
                _until_it_answers(popen, url, log)
                yield popen
            finally:
                popen.terminate()
                try:
                    popen.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    popen.kill()


def _until_it_answers(popen: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _answers(url):
        if popen.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{popen.args!r} did not start; its last words:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    body = json.dumps({"model": traffic.MODEL, "messages": []}).encode()
    request = Request(url + traffic.PATH, data=body, headers={"content-type": "application/json"})  # noqa: S310
    try:
        with urlopen(request, timeout=5) as response:  # noqa: S310 - an address of our own making
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
