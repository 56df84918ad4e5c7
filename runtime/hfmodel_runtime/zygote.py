"""A parent with torch imported, from which runtimes are forked: it makes a local wake take about a second.

`hfmodel up` starts it and speaks JSON lines with it over one socket, `--control-fd`:

    request  {"id": 1, "cmd": "spawn", "settings": {ServeSettings...}, "env": {...}, "log": "path"}
             {"id": 2, "cmd": "signal", "pid": 4711, "signal": 15}
    reply    {"id": 1, "pid": 4711, "port": 40123}   {"id": 2}   {"id": 1, "error": "why not"}
    event    {"event": "ready"}                      imports are done; requests are read from here on, none is lost
             {"event": "exit", "pid": 4711, "code": 1, "signal": null}
             {"event": "failed", "message": "..."}   imports failed; the process ends

The socket of a spawned runtime listens before the reply is sent, so a caller can connect at once.

What keeps a fork safe: no thread lives here, no tensor is computed and CUDA is not touched; the children do all that.
What keeps a child from outliving its parent: the end of the control socket kills all children, and each child asks the
kernel to be killed when this process ends. A runtime never gets a Hugging Face token, and never asks the Hub.
"""

import argparse
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, NoReturn

from hfmodel_api.names import SECRET_VARIABLES
from hfmodel_runtime.forking import finish, fork, kill, woken_by_children

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
BACKLOG: Final = 2048
# What every runtime imports later.
_LATER: Final = "hfmodel_runtime.server.serve"
# Read by libraries at import, hence set before it.
_ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    # Otherwise asking whether there is a GPU initialises CUDA here, and no fork could use it any more.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # OpenBLAS starts its threads when it is loaded; torch has threads of its own, started in the child.
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What one runtime is started with."""

    settings: Mapping[str, Any]  # fields of ServeSettings, as JSON has them
    env: Mapping[str, str]
    log: str  # a file; standard output and error are appended

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> "Launch":
        """Raises ValueError or TypeError: `request` is not a launch."""
        settings, env, log = request.get("settings"), request.get("env", {}), request.get("log")
        if not isinstance(settings, dict) or not isinstance(env, dict) or not isinstance(log, str):
            raise TypeError("a spawn needs settings and env (objects) and log (a path)")
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in env.items()):
            raise TypeError("env needs texts")
        return cls(settings=settings, env={k: v for k, v in env.items() if k not in SECRET_VARIABLES}, log=log)


class Zygote:
    """The loop: requests in, children out. One thread, because it forks."""

    def __init__(self, control: socket.socket, *, run: Callable[[Launch, socket.socket], int]) -> None:
        self._control = control
        self._run = run
        self._children: set[int] = set()
        self._received = b""

    def serve(self) -> None:
        """Work until the other end of the control socket is closed; then kill every child."""
        try:
            with woken_by_children() as woken, selectors.DefaultSelector() as selector:
                selector.register(self._control, selectors.EVENT_READ, self._read)
                selector.register(woken, selectors.EVENT_READ, lambda: bool(os.read(woken, 4096)))
                self._tell({"event": "ready"})
                while all(key.data() for key, _ in selector.select()):
                    self._reap()
        except (BrokenPipeError, ConnectionResetError):
            logger.info("event=control_lost")
        finally:
            for pid in self._children:
                kill(pid, signal.SIGKILL)

    def _read(self) -> bool:
        data = self._control.recv(1 << 16)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._answer(line)
        return bool(data)

    def _answer(self, line: bytes) -> None:
        request_id = None
        try:
            request = json.loads(line)
            request_id = request["id"]
            reply = self._commands[request["cmd"]](self, request)
        except (ValueError, TypeError, KeyError, OSError) as error:
            logger.warning("event=request_refused error=%r", error)
            reply = {"error": f"{type(error).__name__}: {error}"}
        self._tell({"id": request_id, **reply})

    def _spawn(self, request: Mapping[str, Any]) -> dict[str, Any]:
        launch = Launch.parse(request)
        log = os.open(launch.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with socket.create_server((HOST, 0), backlog=BACKLOG) as sock:
                pid = fork(lambda: self._run(launch, sock), keep=sock.fileno(), log=log)
                self._children.add(pid)
                return {"pid": pid, "port": sock.getsockname()[1]}
        finally:
            os.close(log)

    def _signal(self, request: Mapping[str, Any]) -> dict[str, Any]:
        pid, number = int(request["pid"]), signal.Signals(request["signal"])
        # Only a child that has not been waited for: its pid cannot belong to anybody else.
        if pid not in self._children:
            return {"error": f"{pid} is not a running child"}
        kill(pid, number)
        return {}

    _commands: Final = {"spawn": _spawn, "signal": _signal}

    def _reap(self) -> None:
        for pid in tuple(self._children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._children.remove(pid)
                code = os.waitstatus_to_exitcode(status)
                self._tell(
                    {
                        "event": "exit",
                        "pid": pid,
                        "code": code if code >= 0 else None,
                        "signal": -code if code < 0 else None,
                    }
                )

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def run_launch(launch: Launch, sock: socket.socket) -> int:
    """In the child: serve one model until told to stop.

    A model with variables of its own gets a fresh interpreter: many are read when a library is loaded, as
    OMP_NUM_THREADS is, and that has happened here long ago.
    """
    if launch.env:
        _serve_afresh(launch, sock)
    return _serve(launch.settings, sock)


def _serve(settings: Mapping[str, Any], sock: socket.socket) -> int:
    from hfmodel_runtime.server.serve import serve
    from hfmodel_runtime.settings import ServeSettings

    paths = {field.name for field in fields(ServeSettings) if "Path" in str(field.type)}
    values: dict[str, Any] = {k: Path(v) if k in paths and v is not None else v for k, v in settings.items()}
    return serve(ServeSettings(**values), sock=sock)


def _serve_afresh(launch: Launch, sock: socket.socket) -> NoReturn:
    sock.set_inheritable(True)
    command = [sys.executable, "-m", "hfmodel_runtime", "zygote", "--serve-fd", str(sock.fileno())]
    os.execve(  # noqa: S606 - no shell wanted
        sys.executable, [*command, "--settings", json.dumps(dict(launch.settings))], {**os.environ, **launch.env}
    )


def _take_over(fd: int) -> socket.socket:
    """The control socket, out of the way of libraries and of children: standard input becomes empty."""
    control = socket.socket(fileno=os.dup(fd))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    if fd > 2:
        os.close(fd)
    os.close(null)
    return control


def preload_runtime() -> None:
    """Import everything a runtime needs; afterwards no collection touches (and so copies) the shared pages.

    Raises:
        ImportError: torch or another package is missing. Every runtime would fail the same way, later and less clearly.
    """
    from hfmodel_runtime.engine.imports import import_engine

    import_engine()
    importlib.import_module(_LATER)
    _prepare_loading()
    gc.collect()
    gc.freeze()


def _prepare_loading() -> None:
    """What transformers makes ready once, for any model: hundreds of patterns for the names of weights."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("llama")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hfmodel-runtime zygote", description="the parent of local runtimes")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--control-fd", type=int, help="a socket; see the module")
    how.add_argument("--serve-fd", type=int, help="a listening socket: serve one model, with --settings")
    parser.add_argument("--settings", type=json.loads, default={}, help="fields of ServeSettings, as JSON")
    return parser


def main(
    argv: list[str] | None = None,
    *,
    preload: Callable[[], None] = preload_runtime,
    run: Callable[[Launch, socket.socket], int] = run_launch,
) -> int:
    """Run until the control socket closes; 1 if the imports failed.

    Args:
        preload: what is done once, before the first fork.
        run: what a child does; its value is the exit code.
    """
    options = _parser().parse_args(argv)
    os.environ.update(_ENVIRONMENT)
    for name in SECRET_VARIABLES:
        os.environ.pop(name, None)
    if options.serve_fd is not None:
        finish(_serve(options.settings, socket.socket(fileno=options.serve_fd)))
    control = _take_over(options.control_fd)
    try:
        preload()
    except (ImportError, OSError) as error:
        message = f"the runtime cannot start: {error} (pip install 'hfmodel[runtime]')"
        control.sendall(json.dumps({"event": "failed", "message": message}).encode() + b"\n")
        return 1
    Zygote(control, run=run).serve()
    return 0
