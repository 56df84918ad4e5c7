"""The real zygote with children that only pretend to be runtimes: no torch, ready in milliseconds.

`FAKE` in a launch's environment says how the child behaves; `POST /control` changes its answers while it runs.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any

from hfmodel_runtime.zygote import Launch, main

COMMAND: Sequence[str] = (sys.executable, __file__, "--control-fd", "0")
FAILURE = {"reason": "WeightsInvalid", "message": "model.safetensors is cut short", "retryable": False}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        match self.path:
            case "/readyz":
                self._answer(200 if self.server.answers["ready"] else 503, {})
            case "/healthz":
                self._answer(503 if self.server.answers["dead"] else 200, {})
            case "/activity":
                self._answer(200, self.server.activity())
            case "/about":
                self._answer(200, {"pid": os.getpid(), "env": dict(os.environ), "settings": self.server.settings})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        match self.path:
            case "/retire":
                busy = self.server.activity()["running"] > 0
                self.server.answers["retired"] = not busy
                self._answer(409 if busy else 200, {})
            case "/control":
                self.server.answers.update(body)
                self._answer(200, {})
            case _:
                self._answer(200, {"echo": body, "pid": os.getpid()})

    def _answer(self, status: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(payload)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Quiet."""


class _Server(ThreadingHTTPServer):
    def __init__(self, sock: socket, settings: dict[str, Any], *, ready: bool) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.settings = settings
        self.answers: dict[str, Any] = {"ready": ready, "dead": False, "retired": False, "running": 0, "idle": None}
        self._started = time.monotonic()

    def activity(self) -> dict[str, Any]:
        idle = self.answers["idle"]
        return {
            "running": self.answers["running"],
            "queued": 0,
            "requests_total": 0,
            "idle_seconds": time.monotonic() - self._started if idle is None else idle,
            "retired": self.answers["retired"],
        }


def run_fake(launch: Launch, sock: socket) -> int:
    how, _, detail = launch.env.get("FAKE", "").partition("=")
    os.environ.update(launch.env)
    print(f"fake runtime of {launch.settings['model_id']}", flush=True)
    match how:
        case "exit":
            print("it said boom", flush=True)
            return int(detail)
        case "refuse":
            Path(launch.settings["termination_log"]).write_text(json.dumps(FAILURE))
            return 1
        case "raise":
            raise RuntimeError("a bug of the child")
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _Server(sock, dict(launch.settings), ready=how != "loading").serve_forever()
    return 0


def _preload() -> None:
    if "FAKE_IMPORT_ERROR" in os.environ:
        raise ImportError("No module named 'torch'")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], preload=_preload, run=run_fake))
