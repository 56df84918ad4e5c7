"""The operator on a cluster, put together: watches, reconcile loop, Lease."""

import asyncio
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
import kopf

from hfmodel_api.names import GROUP, PLURAL
from hfmodel_operator.cluster.api import HFMODELS, KubeApi, KubeError, kube_api
from hfmodel_operator.cluster.apply import Applier
from hfmodel_operator.cluster.events import Recorder
from hfmodel_operator.cluster.handlers import watch_settings, watching
from hfmodel_operator.cluster.health import health_server
from hfmodel_operator.cluster.hearing import Hearing
from hfmodel_operator.cluster.lease import Lease
from hfmodel_operator.cluster.loop import Reconciler
from hfmodel_operator.cluster.metrics import OperatorMetrics
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.cluster.world import World
from hfmodel_operator.decide import decide
from hfmodel_operator.observed import Settings
from hfmodel_operator.runtime_client import RuntimeClient

logger = logging.getLogger(__name__)

_ACTIVITY_SECONDS: Final = 1.0  # all pods are asked at every look; one that hangs must not hold up the others
_RETIRE_SECONDS: Final = 3.0


async def run(cluster: ClusterSettings) -> None:
    """Operate until SIGTERM or SIGINT.

    Raises:
        KubeError: there are no credentials, the server does not answer, or the CRD is not installed.
        CannotListen: on the health port.
    """
    stop = asyncio.Event()
    metrics = OperatorMetrics(cache_limit=cluster.cache_limit)
    async with (
        kube_api(cluster.namespace) as api,
        _session() as session,
        health_server(cluster.health_port, metrics.exposition),
    ):
        await _check(api)
        logger.info("event=operator_started namespace=%s identity=%s", cluster.namespace, cluster.identity)
        await _until(stop, *_parts(api, session, cluster, metrics, stop))
    logger.info("event=operator_stopped")


async def _check(api: KubeApi) -> None:
    try:
        await api.list(HFMODELS)
    except KubeError as error:
        if error.status == 404:
            raise KubeError(404, f"the CRD {PLURAL}.{GROUP} is not installed in this cluster") from error
        raise


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def _parts(
    api: KubeApi,
    session: aiohttp.ClientSession,
    cluster: ClusterSettings,
    metrics: OperatorMetrics,
    stop: asyncio.Event,
) -> tuple[Coroutine[Any, Any, None], ...]:
    called = asyncio.Event()
    store = Store(called.set)
    client = RuntimeClient(session, timeout=_ACTIVITY_SECONDS, retire_timeout=_RETIRE_SECONDS)
    hearing = Hearing(client, _now, heartbeat=timedelta(seconds=cluster.heartbeat_seconds * 0.9))
    lease = Lease(
        api,
        name=cluster.lease_name,
        # A container that starts anew in the same pod is another process.
        identity=f"{cluster.identity}_{secrets.token_hex(4)}",
        seconds=cluster.lease_seconds,
        changed=called.set,
    )
    active = api.while_held(lambda: lease.held)
    recorder = Recorder(active)
    applier = Applier(active, store=store, hearing=hearing, recorder=recorder, settings=cluster, now=_now)
    reconciler = Reconciler(
        api=active,
        store=store,
        hearing=hearing,
        world=World(active, _now),
        applier=applier,
        lease=lease,
        decide=decide,
        cluster=cluster,
        settings=Settings(max_loaded_models=cluster.max_loaded_models, base_url=cluster.base_url),
        now=_now,
        called=called,
        metrics=metrics,
    )
    return _watch(store, cluster, stop), lease.run(), recorder.run(), reconciler.run()


async def _watch(store: Store, cluster: ClusterSettings, stop: asyncio.Event) -> None:
    ready = asyncio.Event()
    # kopf takes the signals for itself when it starts; they are to end all parts, and at once.
    signals = asyncio.create_task(_take_signals(ready, stop))
    try:
        await kopf.operator(
            registry=watching(store),
            settings=watch_settings(),
            namespaces=[cluster.namespace],
            standalone=True,
            ready_flag=ready,
            stop_flag=stop,
        )
    finally:
        signals.cancel()


async def _take_signals(ready: asyncio.Event, stop: asyncio.Event) -> None:
    await ready.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _until(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run all `parts` until `stop`, or until one of them ends: without it the others are of no use."""
    tasks = [asyncio.create_task(part) for part in parts]
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for task in (stopping, *tasks[1:]):
        task.cancel()
    await asyncio.gather(stopping, *tasks, return_exceptions=True)
    for task in done:
        task.result()


def _now() -> datetime:
    return datetime.now(UTC)
