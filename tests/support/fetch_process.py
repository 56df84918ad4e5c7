"""`hfmodel-runtime fetch` as a process, and what it prints."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WAIT_SECONDS = 180.0  # a conversion imports torch, which takes its time on a busy machine


class FetchProcess:
    """A running fetch. Its events are collected while it runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._changed = threading.Condition()
        self._over = False
        self.events: list[dict[str, Any]] = []
        self.log = ""
        self._readers = [threading.Thread(target=self._read_events), threading.Thread(target=self._read_log)]
        for reader in self._readers:
            reader.start()

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first event of this kind, as soon as it is printed."""

        def found() -> dict[str, Any] | None:
            return next((item for item in self.events if item["event"] == event), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._over, _WAIT_SECONDS)
            got = found()
        assert got is not None, f"no {event} event: {self.events}\n{self.log}"
        return got

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> int:
        """The exit status; negative: the signal that killed it."""
        status = self._process.wait(_WAIT_SECONDS)
        for reader in self._readers:
            reader.join(_WAIT_SECONDS)
        return status

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.finish()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _read_events(self) -> None:
        for line in self._process.stdout or ():
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _read_log(self) -> None:
        for line in self._process.stderr or ():
            self.log += line


# A file system whose locks lie: whoever asks for one gets it.
_LYING = "import fcntl, sys; fcntl.flock = lambda *_: None; from hfmodel_runtime.main import main; sys.exit(main())"


@contextmanager
def fetch_process(
    *arguments: str | Path,
    token: str | None = None,
    prefix: Sequence[str | Path] = (),
    env: Mapping[str, str] | None = None,
    locks_lie: bool = False,
) -> Iterator[FetchProcess]:
    """Start a fetch; it is killed if it still runs at the end. `prefix` is a command that starts the command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HFMODEL_"))}
    environment |= env or {}
    if token is not None:
        environment["HF_TOKEN"] = token
    program = ["-c", _LYING] if locks_lie else ["-m", "hfmodel_runtime"]
    process = subprocess.Popen(
        [*map(str, prefix), sys.executable, *program, "fetch", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    running = FetchProcess(process)
    try:
        yield running
    finally:
        running.close()
