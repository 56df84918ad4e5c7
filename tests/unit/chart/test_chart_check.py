"""What `helm test` runs in its pod, run against a router made of an HTTP server."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.chart_environment import environment
from support.chart_values import nested
from support.helm import Json, Values, render

KEYS = nested("router.apiKeys.existingSecret.name", "keys")


def container(values: Values | None = None, *, name: str = "hfmodel") -> Json:
    (found,) = render(values, name=name).one("Pod")["spec"]["containers"]
    checked: Json = found
    return checked


@contextmanager
def router(*, key: str = "", failures: int = 0) -> Iterator[int]:
    """The port of a router with two models, whose first answers are failures."""
    left = iter(range(failures))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/healthz": b'{"status": "ok"}', "/readyz": b'{"status": "ok"}', "/models": b'{"a": {}, "b": {}}'}
            wrong = self.path == "/models" and key and self.headers["X-API-Key"] != key
            status = 503 if next(left, None) is not None else 401 if wrong else 200
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body[self.path] if status == 200 else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def check(port: int, *, values: Values | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
    """The container's command, in the environment that a cluster would give it."""
    pod = container(values)
    python, *arguments = pod["command"]
    assert python == "python3"
    variables = environment(pod) | {"HFMODEL_ROUTER_SERVICE_HOST": "127.0.0.1", "SERVICE_PORT": str(port)} | more
    return subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True, check=False)


def test_a_router_that_answers_passes() -> None:
    with router() as port:
        done = check(port)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["/healthz: ok", "/readyz: ok", "/models: a, b"]


def test_a_router_that_is_not_there_yet_is_waited_for() -> None:
    with router(failures=1) as port:
        done = check(port)
    assert done.returncode == 0, done.stderr


def test_the_first_key_of_several_is_shown() -> None:
    with router(key="one") as port:
        done = check(port, values=KEYS, API_KEYS="one, two")
    assert done.returncode == 0, done.stderr


def test_a_router_that_refuses_fails_with_its_address() -> None:
    with router(key="one") as port:
        done = check(port, values=KEYS, API_KEYS="wrong", CHECK_SECONDS="0")
    assert done.returncode != 0
    assert f"http://127.0.0.1:{port}/models: HTTP Error 401" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "variable"),
    [("hfmodel", "HFMODEL_ROUTER_SERVICE_HOST"), ("a.b-c", "A_B_C_HFMODEL_ROUTER_SERVICE_HOST")],
)
def test_the_service_is_found_without_dns(name: str, variable: str) -> None:
    assert environment(container(name=name))["SERVICE_HOST_VARIABLE"] == variable
