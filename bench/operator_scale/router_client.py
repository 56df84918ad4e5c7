"""The API server as the router asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config

from hfmodel_router.kube.api import KubeApi


@asynccontextmanager
async def router_api(kubeconfig: Path) -> AsyncIterator[KubeApi]:
    """A client of the cluster that `kubeconfig` names."""
    configuration = Configuration()
    await load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    client = ApiClient(configuration)
    try:
        yield KubeApi(client)
    finally:
        await client.close()  # type: ignore[no-untyped-call]
