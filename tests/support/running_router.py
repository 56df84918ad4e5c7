"""A router on a real socket, in front of a fleet in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from hfmodel_router.app import Router, create_app
from hfmodel_router.fleet import Fleet
from hfmodel_router.serve import bind, run
from hfmodel_router.settings import RouterSettings


@dataclass(frozen=True, slots=True)
class RunningRouter:
    """A router that takes requests at `url`; `http` is a client with that base."""

    url: str
    app: Router
    http: aiohttp.ClientSession
    stop: asyncio.Event
    ended: asyncio.Task[None]


@contextlib.asynccontextmanager
async def running_router(fleet: Fleet, **settings: Any) -> AsyncIterator[RunningRouter]:
    """Takes requests; `settings` over defaults that suit tests."""
    options = RouterSettings(**{"drain_timeout": 0.5, "set_aside": 0.05, "unload_wait": 0.05, **settings})
    app = create_app(fleet=fleet, settings=options)
    sock = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    stop, ready = asyncio.Event(), asyncio.Event()
    ended = asyncio.create_task(run(app, options, sock=sock, stop=stop, on_ready=lambda _: ready.set()))
    try:
        await ready.wait()
        async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as http:
            yield RunningRouter(url, app, http, stop, ended)
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
