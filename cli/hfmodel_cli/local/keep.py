"""What must stay in the cache on this machine, and how a fetch is told."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hfmodel_cli.local.fetches import Fetches
from hfmodel_cli.local.pods import Pods
from hfmodel_cli.local.registry import Registry
from hfmodel_operator.keep import Keep, Needed, keep_names, keeper_name
from hfmodel_operator.source import source_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """How large the cache may become, and who says what stays in it."""

    cache_dir: Path
    catalog: Path  # two catalogues that share a cache spare each other's models
    limit: int | None = None  # bytes; None: nothing is ever removed

    def keep(self, registry: Registry, pods: Pods, fetches: Fetches, now: datetime) -> Keep:
        return Keep(
            keeper=keeper_name(f"up:{self.catalog.absolute()}"),
            names=keep_names(_needed(registry, pods, fetches), cache_dir=str(self.cache_dir)),
            as_of=now.timestamp(),
        )

    def arguments(self, keep: Keep) -> tuple[str, ...]:
        """For `hfmodel-runtime fetch`. Options, not variables: a home directory may have spaces in its name."""
        if not keep.fits:
            logger.warning("event=keep_list_too_long names=%d effect='the cache limit is not kept'", len(keep.names))
            return ()
        limit = () if self.limit is None else ("--cache-limit", str(self.limit))
        names = (word for name in keep.names for word in ("--keep", name))
        return (*limit, "--keeper", keep.keeper, "--keep-as-of", f"{keep.as_of:.3f}", *names)


def _needed(registry: Registry, pods: Pods, fetches: Fetches) -> Iterator[Needed]:
    for record in registry:
        source = source_of(record.model)
        fetched = fetches.state(source).fetched
        yield Needed(source, fetched.path if fetched else None)
    for pod in pods.all():
        yield Needed(source_of(pod.model), pod.fetched.path if pod.fetched else None)
