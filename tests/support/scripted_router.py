"""A server on a real socket that answers as it is told, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What to say. `chunks` are sent one by one; a threading.Event among them is waited for."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunks: tuple[bytes | threading.Event, ...] | None = None
    raw: bytes | None = None
    missing: int = 0  # bytes that are promised and never sent


class ScriptedRouter:
    """Answers by "METHOD path"; the last answer of a list is repeated."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self._answers: dict[str, list[Answer]] = {}

    def on(self, call: str, *answers: Answer) -> None:
        self._answers[call] = list(answers)

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answers = self._answers.get(f"{asked.method} {asked.path}")
        if not answers:
            return Answer({"detail": f"there is no {asked.path}"}, status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def calls(self, method: str = "POST") -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]


@contextmanager
def scripted_router() -> Iterator[ScriptedRouter]:
    """A running one, on a free port of the loopback."""
    script = ScriptedRouter()
    handler = type("Handler", (_Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


def stream(*events: dict[str, Any], done: bool = True) -> Answer:
    """Events as OpenAI's API streams them."""
    end = (b"data: [DONE]\n\n",) if done else ()
    return Answer(chunks=(*map(sse, events), *end))


def sse(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def said(*texts: str) -> Iterable[dict[str, Any]]:
    """The events of a chat answer."""
    return [{"choices": [{"delta": {"content": text}}]} for text in texts]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedRouter

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Tests have no use for a log."""

    def _handle(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, json.loads(data) if data else None)
        try:
            self._send(self.script.answer(asked))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunks is not None:
            self._send_chunks(answer.chunks)
            return
        data = json.dumps(answer.body).encode() if answer.raw is None else answer.raw
        self.send_header("content-length", str(len(data) + answer.missing))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = bool(answer.missing)

    def _send_chunks(self, chunks: Iterable[bytes | threading.Event]) -> None:
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for chunk in chunks:
            if isinstance(chunk, threading.Event):
                chunk.wait(timeout=60)
            else:
                self.wfile.write(chunk)
                self.wfile.flush()
