"""A real serving process on a free port."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

PATIENCE = 120.0  # seconds, on a busy machine
_PORT = re.compile(r" listening .*\bport=(\d+)")


@dataclass(frozen=True)
class RuntimeProcess:
    """`python -m hfmodel_runtime serve` and what it has written so far."""

    popen: "subprocess.Popen[str]"
    log: list[str]
    url: str

    def until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while httpx.get(f"{self.url}/readyz", timeout=PATIENCE).status_code != 200:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self.popen.wait(PATIENCE)


@contextmanager
def serving(model_dir: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[RuntimeProcess]:
    """A process that serves `model_dir` as `m`, its port open, its model perhaps not loaded yet."""
    command = [sys.executable, "-m", "hfmodel_runtime", "serve", "--port", "0", "--threads", "2"]
    popen = subprocess.Popen(
        [*command, "--model-dir", str(model_dir), "--model-id", "m", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )
    log: list[str] = []
    listening = threading.Event()
    reader = threading.Thread(target=_read, args=(popen, log, listening))
    reader.start()
    try:
        assert listening.wait(PATIENCE), log
        port = next(found[1] for line in log if (found := _PORT.search(line)))
        yield RuntimeProcess(popen, log, f"http://127.0.0.1:{port}")
    finally:
        popen.kill()
        popen.wait()
        reader.join()
        if popen.stderr is not None:
            popen.stderr.close()


def _read(popen: "subprocess.Popen[str]", log: list[str], listening: threading.Event) -> None:
    for line in popen.stderr or ():
        log.append(line)
        if _PORT.search(line):
            listening.set()
    listening.set()
