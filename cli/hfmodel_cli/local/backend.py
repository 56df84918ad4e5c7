"""All of local mode behind the router, put together: catalogue, reconcile loop, pods, fetches, and their parent."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import aiohttp

from hfmodel_api.errors import InvalidManifest
from hfmodel_cli.local.announce import Announcer, Audience
from hfmodel_cli.local.catalog import Catalog, Defaults, Snapshot
from hfmodel_cli.local.fetches import Fetches, FetchState, ProcessFetcher
from hfmodel_cli.local.fleet import LocalFleet
from hfmodel_cli.local.keep import CacheRules
from hfmodel_cli.local.loop import Reconciler
from hfmodel_cli.local.pods import PodOptions, Pods
from hfmodel_cli.local.registry import Record, Registry
from hfmodel_cli.local.zygote import Zygote
from hfmodel_operator.decide import decide
from hfmodel_operator.fetch_metrics import FetchMetrics
from hfmodel_operator.observed import Settings
from hfmodel_operator.runtime_client import RuntimeClient
from hfmodel_operator.source import Source, source_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """What the command line says about everything but HTTP."""

    catalog: Path
    cache_dir: Path
    cache_limit: int | None = None  # bytes; None: nothing is ever removed
    url: str = ""
    defaults: Defaults = field(default_factory=Defaults)
    max_loaded: int | None = None  # None: what an old models.yaml says, else no limit
    # A wake is cheap here, so a model need not stay as long as in a cluster before it makes room for another.
    min_residency: timedelta = timedelta(seconds=2)
    runtime_log_level: str = "warning"
    stop_within: float = 30.0  # seconds that pods have for what they run, when all of it ends
    zygote_command: tuple[str, ...] | None = None  # None: this installation's own
    fetch_command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)


class Watcher(Audience, Protocol):
    """Who is told what happens, to models and in the catalogue."""

    def invalid(self, error: InvalidManifest) -> None: ...

    def note(self, text: str) -> None: ...


class Backend:
    """Made inside a running event loop; used through `running_backend`."""

    def __init__(
        self,
        options: BackendOptions,
        *,
        directory: Path,
        watcher: Watcher,
        forced: asyncio.Event,
        session: aiohttp.ClientSession,
    ) -> None:
        self._options = options
        self._called = asyncio.Event()
        self._forced = forced
        self._tasks: list[asyncio.Task[None]] = []
        self._noted: frozenset[str] = frozenset()
        self._watcher = watcher
        self.fetch_metrics = FetchMetrics(cache_limit=options.cache_limit)
        self._registry = Registry(now=_now, changed=self._called.set)
        self._zygote = Zygote(log=directory / "zygote.log", env=options.environment, command=options.zygote_command)
        fetcher = ProcessFetcher(
            cache_dir=options.cache_dir,
            log=directory / "fetch.log",
            env=options.environment,
            rules=self._cache_rules,
            metrics=self.fetch_metrics,
            command=options.fetch_command,
        )
        self._fetches = Fetches(fetcher, now=_now, changed=self._fetch_changed)
        self._pods = Pods(
            launcher=self._zygote,
            fetches=self._fetches,
            client=RuntimeClient(session),
            owner=self._registry,
            options=PodOptions(directory=directory, log_level=options.runtime_log_level),
            now=_now,
        )
        self.catalog = Catalog(
            options.catalog, defaults=options.defaults, applied=self._models_changed, reported=watcher.invalid
        )
        self.fleet = LocalFleet(
            registry=self._registry,
            pods=self._pods,
            resync=self._resync,
            has_token=bool(options.environment.get("HF_TOKEN")),
        )
        self._reconciler = Reconciler(
            registry=self._registry,
            pods=self._pods,
            fetches=self._fetches,
            decide=decide,
            settings=self._settings,
            now=_now,
            called=self._called,
        )
        self._registry.subscribe(Announcer(self._registry, watcher, self._fetch_of).changed)

    async def start(self) -> None:
        """Read the catalogue once, then follow it and reconcile."""
        self._zygote.start()
        await self.catalog.reload()
        self._tasks = [
            asyncio.create_task(self.catalog.watch(), name="catalogue"),
            asyncio.create_task(self._reconciler.run(), name="reconcile"),
        ]

    async def close(self) -> None:
        """End everything, gently for `stop_within` seconds at most or until `forced`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closing = asyncio.create_task(self._pods.close(within=self._options.stop_within))
        forced = asyncio.create_task(self._forced.wait())
        await asyncio.wait((closing, forced), return_when=asyncio.FIRST_COMPLETED)
        if not closing.done():
            await self._pods.kill()
        forced.cancel()
        await closing
        await self._fetches.close()
        await self._zygote.close()

    def _settings(self) -> Settings:
        old = self.catalog.snapshot.settings
        limit = self._options.max_loaded or (old.max_concurrent_models if old else None)
        return Settings(max_loaded_models=limit, base_url=self._options.url, min_residency=self._options.min_residency)

    def _cache_rules(self) -> tuple[str, ...]:
        options = self._options
        rules = CacheRules(cache_dir=options.cache_dir, catalog=options.catalog, limit=options.cache_limit)
        return rules.arguments(rules.keep(self._registry, self._pods, self._fetches, _now()))

    def _models_changed(self, snapshot: Snapshot) -> None:
        self._registry.set_models(snapshot.models)
        for pod in self._pods.all():
            if pod.model.id not in snapshot.models:
                self._pods.delete(pod)
        self._fetches.keep_only({source_of(model) for model in snapshot.models.values()})
        for text in snapshot.notes:
            if text not in self._noted:
                self._watcher.note(text)
        self._noted = frozenset(snapshot.notes)

    async def _resync(self) -> None:
        await self.catalog.reload()
        self._fetches.look_again()
        self._called.set()

    def _fetch_changed(self, source: Source) -> None:
        for record in self._registry:
            if source_of(record.model) == source:
                self._registry.notify(record.model.id)

    def _fetch_of(self, record: Record) -> FetchState:
        return self._fetches.state(source_of(record.model))


@asynccontextmanager
async def running_backend(
    options: BackendOptions, *, directory: Path, watcher: Watcher, forced: asyncio.Event
) -> AsyncIterator[Backend]:
    """A backend that has read its catalogue; on leaving, nothing of it is left.

    Args:
        forced: set, leaving waits for nothing that still runs.
    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        backend = Backend(options, directory=directory, watcher=watcher, forced=forced, session=session)
        try:
            await backend.start()
            yield backend
        finally:
            await backend.close()


def _now() -> datetime:
    return datetime.now(UTC)
