"""kopf's part: watches of HFModels, pods and Jobs, the credentials for them, and the liveness endpoint.

Event handlers alone: they leave no finalizers and no annotations, so that nothing hangs once the operator is gone.
"""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import kopf

from hfmodel_operator.cluster.api import HFMODELS, JOBS, PODS, Json, Resource, in_cluster
from hfmodel_operator.cluster.labels import OURS
from hfmodel_operator.cluster.objects import uid_of
from hfmodel_operator.cluster.store import Store

# Whole seconds: the server refuses any other.
_SERVER_TIMEOUT: Final = 300  # a watch begins anew after so long
_CLIENT_TIMEOUT: Final = 330.0  # and is given up after so long, if the server does not end it
_CONNECT_TIMEOUT: Final = 10.0
_REQUEST_TIMEOUT: Final = 30.0


class _Endless:
    """Seconds between tries while the server is away: it comes back some time, and nobody is to wait much longer."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0, 2.0), itertools.repeat(3.0))


class _NoDiffs(kopf.DiffBaseStorage):
    """Nobody is told what differs, so nothing is copied to find it: that was a third of what kopf did for an event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


def watching(store: Store) -> kopf.OperatorRegistry:
    """Handlers that keep `store` up to date."""
    registry = kopf.OperatorRegistry()
    for resource, labels in ((HFMODELS, None), (PODS, OURS), (JOBS, OURS)):
        kopf.on.event(
            resource.group,
            resource.version,
            resource.plural,
            id=f"watch-{resource.plural}",
            labels=labels,
            registry=registry,
        )(_follower(store, resource))
    kopf.on.login(id="login", registry=registry)(_login)
    return registry


def watch_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # The CRD is there before the operator; seeing others come would need rights on the whole cluster.
    settings.scanning.disabled = True
    settings.watching.server_timeout = _SERVER_TIMEOUT
    settings.watching.client_timeout = _CLIENT_TIMEOUT
    settings.watching.connect_timeout = _CONNECT_TIMEOUT
    settings.networking.request_timeout = _REQUEST_TIMEOUT
    settings.networking.connect_timeout = _CONNECT_TIMEOUT
    settings.networking.error_backoffs = _Endless()
    settings.persistence.diffbase_storage = _NoDiffs()
    return settings


def _follower(store: Store, resource: Resource) -> Callable[..., Awaitable[None]]:
    async def follow(event: kopf.RawEvent, **_: Any) -> None:
        thing: Json = dict(event["object"])
        if event["type"] == "DELETED":
            store.remove(resource, uid_of(thing))
        else:
            store.put(resource, thing)

    return follow


async def _login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    if in_cluster():
        return kopf.login_with_service_account(settings=settings)
    return kopf.login_with_kubeconfig(settings=settings)
