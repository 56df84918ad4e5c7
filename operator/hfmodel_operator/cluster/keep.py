"""Tells whoever fetches what must stay in the cache: by a ConfigMap, which a container reads when it starts.

So the list is the newest there is when the fetch begins, no pod differs by it from another, and it is stored once, not
in every Job. A fetch that is to go without it is not pointed to the ConfigMap.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from hfmodel_api.names import LABEL_MANAGED_BY
from hfmodel_operator.cluster.api import CONFIGMAPS, PODS, Json, KubeApi, KubeError
from hfmodel_operator.cluster.containers import CACHE_MOUNT
from hfmodel_operator.cluster.labels import KEEP_MAP, MANAGER
from hfmodel_operator.cluster.needed import needed_by_pods
from hfmodel_operator.cluster.observe import Look
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.keep import LONGEST_LIST, Keep, keep_names

logger = logging.getLogger(__name__)

_REFUSED: Final = (400, 403, 413, 422)  # it does not let us, now or ever


def keep_data(keep: Keep, *, limit: int | None) -> dict[str, str]:
    """The variables of a fetch, as docs/cache.md has them. `limit` is in bytes."""
    data = {
        "HFMODEL_CACHE_KEEPER": keep.keeper,
        "HFMODEL_CACHE_KEEP": " ".join(keep.names),
        "HFMODEL_CACHE_KEEP_AS_OF": f"{keep.as_of:.3f}",
    }
    return data if limit is None else {**data, "HFMODEL_CACHE_LIMIT": str(limit)}


class KeepMap:
    """Writes the ConfigMap."""

    def __init__(self, api: KubeApi, *, store: Store, settings: ClusterSettings, now: Callable[[], datetime]) -> None:
        self._api, self._store, self._settings, self._now = api, store, settings, now
        self._complaint = ""

    async def publish(self, look: Look) -> bool:
        """Whether fetches may go by it now; if not, they remove nothing. Raises KubeError: the server failed."""
        keep = self._keep(look)
        if not keep.fits:
            self._complain(
                f"event=keep_list_too_long names={len(keep.names)} most_bytes={LONGEST_LIST} "
                "effect='the cache limit is not kept'"
            )
            return False
        try:
            await self._write(keep_data(keep, limit=self._settings.cache_limit))
        except KubeError as error:
            if error.status not in _REFUSED:
                raise
            self._complain(f"event=keep_list_refused effect='the cache limit is not kept' error={error}")
            return False
        self._complaint = ""
        return True

    def _keep(self, look: Look) -> Keep:
        pods = needed_by_pods(self._store.all(PODS), cache_claim=self._settings.cache_claim)
        names = {*keep_names(pods, cache_dir=CACHE_MOUNT), *(name for each in look.seen.values() for name in each.kept)}
        return Keep(keeper=self._settings.keeper, names=tuple(sorted(names)), as_of=self._now().timestamp())

    async def _write(self, data: dict[str, str]) -> None:
        # A null takes away a limit that was lifted.
        body: Json = {"data": {"HFMODEL_CACHE_LIMIT": None, **data}}
        try:
            await self._api.patch(CONFIGMAPS, KEEP_MAP, body)
        except KubeError as error:
            if error.status != 404:
                raise
            metadata = {"name": KEEP_MAP, "labels": {LABEL_MANAGED_BY: MANAGER}}
            await self._api.create(
                CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            )

    def _complain(self, line: str) -> None:
        """Once, until it is well again."""
        event = line.partition(" ")[0]
        if event != self._complaint:
            logger.warning(line)
        self._complaint = event
