"""The parts of a cluster that a bare API server lacks: every pod is ready at once, and says that it is idle."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from bench.operator_scale.follow import Followed
from hfmodel_api.wire import PATH_ACTIVITY, Activity
from hfmodel_operator.cluster.api import KubeApi
from support.kubelet import make_ready

_ADDRESS = "127.0.0.1"  # of all pods: they have one port, and say the same


@asynccontextmanager
async def playing_kubelet(api: KubeApi, followed: Followed, *, port: int) -> AsyncIterator[None]:
    """Makes ready what `followed` sees created."""
    began = time.monotonic()

    async def activity(_: web.Request) -> web.Response:
        idle = Activity(running=0, queued=0, requests_total=1, idle_seconds=time.monotonic() - began)
        return web.json_response(idle.model_dump(mode="json"))

    app = web.Application()
    app.router.add_get(PATH_ACTIVITY, activity)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, _ADDRESS, port).start()
    task = asyncio.create_task(_make_ready(api, followed))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


async def _make_ready(api: KubeApi, followed: Followed) -> None:
    while True:
        await make_ready(api, dict(await followed.pods.get()), address=_ADDRESS)
