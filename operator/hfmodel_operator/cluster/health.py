"""The operator's own port: whether it lives, and what it counts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from hfmodel_api.errors import HFModelError
from hfmodel_api.wire import PATH_HEALTHZ, PATH_METRICS


class CannotListen(HFModelError):
    """The port is taken, or not ours to take."""


@asynccontextmanager
async def health_server(port: int, exposition: Callable[[], bytes]) -> AsyncIterator[None]:
    """Answers at `port` inside the block; 0: not at all. A loop that hangs does not answer, which is the point.

    Raises:
        CannotListen
    """
    if not port:
        yield
        return
    app = web.Application()
    app.router.add_get(PATH_HEALTHZ, _alive)
    app.router.add_get(PATH_METRICS, _metrics(exposition))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "0.0.0.0", port).start()
        except OSError as error:
            raise CannotListen(f"HFMODEL_HEALTH_PORT: cannot listen on port {port}: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()


async def _alive(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _metrics(exposition: Callable[[], bytes]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer
