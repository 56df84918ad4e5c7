"""`hfmodel up` once its options are known: the listening socket, the router, the backend, and the signals between."""

import asyncio
import contextlib
import importlib.util
import signal
import socket
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hfmodel_api.spec import HFModel
from hfmodel_cli.local.backend import Backend, BackendOptions, Watcher, running_backend
from hfmodel_cli.local.errors import CannotStart
from hfmodel_cli.local.statedir import state_directory
from hfmodel_router.app import create_app
from hfmodel_router.serve import bind
from hfmodel_router.serve import run as run_router
from hfmodel_router.settings import RouterSettings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Host(Watcher, Protocol):
    """Who shows what `hfmodel up` does."""

    def welcome(self, models: Iterable[HFModel], *, url: str, with_key: bool) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Everything that can be said on the command line."""

    router: RouterSettings
    backend: BackendOptions  # its url is filled in when the port is known
    load: tuple[str, ...] = ()  # models to wake at once


async def up(options: UpOptions, host: Host) -> None:
    """Serve until a signal says to stop, then leave nothing behind; a second signal waits for nothing.

    Raises:
        CannotStart, CannotListen: and nothing was started.
    """
    _check_runtime()
    with (
        _signals() as (asked, forced),
        bind(options.router.host, options.router.port) as sock,
        state_directory(options.backend.cache_dir) as directory,
        contextlib.closing(host),
    ):
        url = _url(options.router.host, sock)
        backend_options = replace(options.backend, url=url)
        async with running_backend(backend_options, directory=directory, watcher=host, forced=forced) as backend:
            await _wake(options.load, backend)
            app = create_app(fleet=backend.fleet, settings=options.router)
            app.metrics.registry.register(backend.fetch_metrics.registry)

            def welcome(_: str) -> None:
                models = backend.catalog.snapshot.models.values()
                host.welcome(models, url=url, with_key=bool(options.router.api_keys))

            await _until(forced, run_router(app, options.router, sock=sock, on_ready=welcome, stop=asked))


async def _wake(model_ids: Iterable[str], backend: Backend) -> None:
    models = backend.catalog.snapshot.models
    for model_id in model_ids:
        if model_id not in models:
            raise CannotStart(f"--load: there is no model {model_id!r}; there are: {', '.join(models) or 'none'}")
        await backend.fleet.want(model_id)


async def _until(event: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do `work`, or as much of it as there is time for until `event`."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        working.cancel()
        results = await asyncio.gather(working, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


@contextlib.contextmanager
def _signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: the end is asked for; it is asked for again, and now."""
    asked, forced = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, lambda: (forced if asked.is_set() else asked).set())
    try:
        yield asked, forced
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _check_runtime() -> None:
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise CannotStart(
                f"{package} is not installed, and no model runs without it: pip install 'hfmodel[runtime]'"
            )


def _url(host: str, sock: socket.socket) -> str:
    """Where a caller on this machine reaches the socket."""
    port = sock.getsockname()[1]
    match host:
        case "0.0.0.0" | "":
            name = "127.0.0.1"
        case "::":
            name = "[::1]"
        case _:
            name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def catalog_path(given: Path | None) -> Path:
    """The catalogue to serve.

    Raises:
        CannotStart: there is none.
    """
    if given is not None:
        if not given.exists():
            raise CannotStart(
                f"there is no catalogue at {given}: give a folder of manifests, a manifest or a models.yaml"
            )
        return given
    for candidate in (Path("models"), Path("models.yaml")):
        if candidate.exists():
            return candidate
    raise CannotStart("there is no ./models here: give a folder of manifests, a manifest or a models.yaml")
