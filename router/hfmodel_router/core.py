"""The parts of a running router, put together."""

from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from fastapi import FastAPI

from hfmodel_api.errors import NotReady
from hfmodel_router.documented import documented_app
from hfmodel_router.fleet import Fleet
from hfmodel_router.hold import HoldRoom
from hfmodel_router.loader import Loader
from hfmodel_router.metrics import Metrics
from hfmodel_router.pods_info import PodsInfo
from hfmodel_router.pool import Pool
from hfmodel_router.proxy import Proxy
from hfmodel_router.settings import RouterSettings
from hfmodel_router.surface import Surface
from hfmodel_router.upstream_pool import UpstreamPool

STOPPING = NotReady("this router is shutting down", retry_after=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Everything that belongs to one event loop."""

    proxy: Proxy
    documented: FastAPI
    surface: Surface
    holds: HoldRoom
    pool: Pool
    session: aiohttp.ClientSession  # for what is asked of pods beside the relay
    upstream: UpstreamPool
    unsubscribe: Callable[[], None]

    async def close(self) -> None:
        self.unsubscribe()
        self.holds.close(STOPPING)
        self.surface.loader.close()
        self.pool.close()
        self.upstream.close()
        await self.session.close()


def open_core(*, fleet: Fleet, settings: RouterSettings, metrics: Metrics) -> Core:
    """Call in the event loop that will serve."""
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
    upstream = UpstreamPool(connect_timeout=settings.connect_timeout)
    holds = HoldRoom(fleet=fleet, settings=settings, metrics=metrics)
    pool = Pool(set_aside=settings.set_aside, returned=holds.changed)
    infos = PodsInfo(session)
    loader = Loader(fleet=fleet, holds=holds)
    surface = Surface(fleet=fleet, settings=settings, metrics=metrics, loader=loader, infos=infos)

    def changed(model_id: str) -> None:
        # In this order: who waits must find the pods that are no longer set aside.
        infos.news(model_id, fleet.catalogue().get(model_id))
        pool.news(model_id)
        holds.changed(model_id)

    return Core(
        proxy=Proxy(fleet=fleet, holds=holds, pool=pool, upstream=upstream, settings=settings, metrics=metrics),
        documented=documented_app(surface),
        surface=surface,
        holds=holds,
        pool=pool,
        session=session,
        upstream=upstream,
        unsubscribe=fleet.subscribe(changed),
    )
