"""Which cluster, as whom, and which namespace."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_incluster_config, load_kube_config

from hfmodel_router.kube.api import KubeApi, Namespace
from hfmodel_router.kube.errors import NoCluster
from hfmodel_router.kube.fleet import KubeFleet
from hfmodel_router.kube.probe import HttpAsk
from hfmodel_router.version import version

NAMESPACE_VARIABLE = "WATCH_NAMESPACE"
# Set, to whatever, where the installation has a Hugging Face token. The router has no use for more of it.
HUB_TOKEN_VARIABLE = "HFMODEL_HUB_TOKEN"  # noqa: S105 - the variable's name
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_USERS_KUBECONFIG = Path("~/.kube/config")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@contextlib.asynccontextmanager
async def kube_fleet(namespace: str | None, environment: Mapping[str, str] = os.environ) -> AsyncIterator[KubeFleet]:
    """A running fleet over the cluster that the environment names: $KUBECONFIG, else the one this pod runs in, else
    the user's own kubeconfig.

    Args:
        namespace: default: $WATCH_NAMESPACE, else this pod's own or the one that the kubeconfig names, else `default`.
        environment: also says whether the installation has a Hugging Face token ($HFMODEL_HUB_TOKEN).

    Raises:
        NoCluster: there is no usable configuration.
    """
    configuration = Configuration()
    found = await _configure(configuration, environment)
    hub_token = bool(environment.get(HUB_TOKEN_VARIABLE))
    name = _valid(namespace or environment.get(NAMESPACE_VARIABLE) or found or "default")
    async with (
        _client(configuration) as client,
        HttpAsk() as ask,
        KubeFleet(Namespace(KubeApi(client), name), ask=ask, hub_token=hub_token) as fleet,
    ):
        yield fleet


@contextlib.asynccontextmanager
async def _client(configuration: Configuration) -> AsyncIterator[ApiClient]:
    try:
        client = ApiClient(configuration)
    except (OSError, ValueError) as error:
        raise NoCluster(f"the cluster's certificates cannot be used: {error}") from error
    client.user_agent = f"hfmodel-router/{version()}"
    try:
        yield client
    finally:
        await client.close()  # type: ignore[no-untyped-call]


async def _configure(configuration: Configuration, environment: Mapping[str, str]) -> str | None:
    """Fill in the server and who we are; returns the namespace that goes with them, if any."""
    try:
        if environment.get("KUBECONFIG"):
            return await _from_kubeconfig(configuration, environment["KUBECONFIG"])
        if environment.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            return await asyncio.to_thread(_own_namespace)
        users = await asyncio.to_thread(_users_kubeconfig)
        if users is not None:
            return await _from_kubeconfig(configuration, users)
    except (ConfigException, OSError, ValueError) as error:
        raise NoCluster(f"the cluster's configuration cannot be used: {error}") from error
    raise NoCluster(
        f"no cluster is configured: there is neither KUBECONFIG nor {_USERS_KUBECONFIG}, and this is no pod"
    )


async def _from_kubeconfig(configuration: Configuration, path: str) -> str | None:
    await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=path, client_configuration=configuration
    )
    active: dict[str, Any] = list_kube_config_contexts(path)[1]  # type: ignore[no-untyped-call]
    namespace: str | None = active["context"].get("namespace")
    return namespace


def _users_kubeconfig() -> str | None:
    path = _USERS_KUBECONFIG.expanduser()
    return str(path) if path.is_file() else None


def _own_namespace() -> str | None:
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.is_file() else None


def _valid(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NoCluster(f"{name!r} is not the name of one namespace: a router serves exactly one")
    return name
