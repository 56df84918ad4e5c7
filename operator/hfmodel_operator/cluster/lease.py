"""One active operator: whoever holds the Lease acts, the others stand by.

As with other controllers, clocks of two machines are never compared: a standby takes over when it has seen the Lease
unchanged for as long as the Lease itself says. A holder that could not renew stops acting before that.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from hfmodel_operator.cluster.api import LEASES, Json, KubeError, Resource

logger = logging.getLogger(__name__)


class LeaseApi(Protocol):
    """What of the API server a Lease needs; raises KubeError, 409 where somebody else was faster."""

    async def get(self, resource: Resource, name: str) -> Json | None: ...

    async def create(self, resource: Resource, manifest: Json) -> Json: ...

    async def replace(self, resource: Resource, name: str, manifest: Json) -> Json: ...


@dataclass(slots=True)
class _Seen:
    version: str
    at: float


class Lease:
    """`identity` is that of this process alone. Durations are in seconds."""

    def __init__(
        self,
        api: LeaseApi,
        *,
        name: str,
        identity: str,
        seconds: int,
        changed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._name, self._identity, self._seconds = api, name, identity, seconds
        self._changed, self._monotonic = changed, monotonic
        self._seen: _Seen | None = None
        self._held_until = float("-inf")
        self._was_held = False

    @property
    def held(self) -> bool:
        """Whether this process may act now."""
        return self._monotonic() < self._held_until

    async def run(self) -> None:
        """Acquire and renew until cancelled, then let go."""
        try:
            while True:
                with contextlib.suppress(KubeError):
                    await self.attempt()
                self._tell()
                await asyncio.sleep(self._seconds / 5)
        finally:
            await self._release()

    async def attempt(self) -> None:
        """Renew the Lease, or take it if it is free. Raises KubeError if the server does not answer."""
        began = self._monotonic()
        lease = await self._api.get(LEASES, self._name)
        if lease is not None and not self._is_free(lease):
            return
        try:
            if lease is None:
                await self._api.create(LEASES, self._manifest({"metadata": {"name": self._name}}))
            else:
                await self._api.replace(LEASES, self._name, self._manifest(lease))
        except KubeError as error:
            if error.status != 409:
                raise
            return  # somebody was faster
        # From before the calls, and some less: a standby counts from when it has seen the change.
        self._held_until = began + self._seconds * 2 / 3

    def _is_free(self, lease: Json) -> bool:
        spec, version, now = lease.get("spec") or {}, lease["metadata"]["resourceVersion"], self._monotonic()
        if spec.get("holderIdentity") in (None, "", self._identity):
            return True
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(version, now)
        return now >= self._seen.at + float(spec.get("leaseDurationSeconds") or self._seconds)

    def _manifest(self, lease: Json, *, holder: str | None = None) -> Json:
        before: dict[str, Any] = lease.get("spec") or {}
        identity = self._identity if holder is None else holder
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        taken = before.get("holderIdentity") != identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": lease["metadata"],  # its version with it: who is slower gets a 409
            "spec": {
                "holderIdentity": identity,
                "leaseDurationSeconds": self._seconds,
                "renewTime": now,
                "acquireTime": now if taken else before.get("acquireTime", now),
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + taken,
            },
        }

    def _tell(self) -> None:
        if self.held != self._was_held:
            self._was_held = self.held
            logger.info("event=lease_%s identity=%s", "held" if self.held else "not_held", self._identity)
            self._changed()

    async def _release(self) -> None:
        held, self._held_until = self.held, float("-inf")
        if not held:
            return
        with contextlib.suppress(KubeError):
            lease = await self._api.get(LEASES, self._name)
            if lease is not None and (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                await self._api.replace(LEASES, self._name, self._manifest(lease, holder=""))
