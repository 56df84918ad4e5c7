"""The chart on a node of the rig with every model in its cache, ready to be struck."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chaos.apiserver import ApiServer
from chaos.local import RETRY_LIMIT, max_length_of, scaling_of
from chaos.node_rig import NodeRig
from chaos.questions import MODELS, REAL
from chaos.reference import Reference
from cluster.binaries import find
from cluster.node import NodeCluster, node_cluster
from images.build import build
from images.names import DEFAULT_TAG
from support.chart_release import site as chart_site
from support.chart_release import without_crd
from support.helm import Json
from support.hub_server import HubRepo, HubServer
from support.installation import install
from support.kubectl import Kubectl

_BOUND: Final = 48
_VALUES: Final[Json] = {
    "images": {name: {"tag": DEFAULT_TAG} for name in ("operator", "runtime")},
    "cache": {"size": "5Gi", "keep": False},
    "runtime": {"drainDelaySeconds": 2, "maxLoadedModels": 2},
    "router": {
        "drainDelaySeconds": 5,
        "maxHeldPerModel": _BOUND,
        "extraEnv": [{"name": "HFMODEL_RETRY_LIMIT", "value": str(RETRY_LIMIT)}],
    },
    "operator": {"leaseSeconds": 5},
}
# Of a model's pods: small, so that all of them find room on one machine.
_RESOURCES: Final[Json] = {"requests": {"cpu": "50m", "memory": "256Mi"}}


@contextmanager
def node_rig(work: Path, reference: Reference, *, report: Callable[[str], None]) -> Iterator[NodeRig]:
    """A node of one's own with a release of the chart that serves every model; nothing of it is left afterwards."""
    archives = [build(name, report=report) for name in ("operator", "runtime")]
    with node_cluster() as cluster:
        for archive in archives:
            cluster.load_image(archive)
        with without_crd(cluster.kubeconfig), release(cluster, reference) as rig:
            yield rig


@contextmanager
def release(cluster: NodeCluster, reference: Reference) -> Iterator[NodeRig]:
    """A release of the chart on `cluster`, which has the images but not the CRD, with every model downloaded."""
    repos = {f"chaos/{model}": _repo(reference.folders[model]) for model in MODELS}
    with chart_site(cluster.kubeconfig) as site, HubServer(repos, host=str(cluster.ranges.host)) as hub:
        kubectl = Kubectl(find("kubectl"), cluster.kubeconfig, site.namespace)
        installation = install(site, _VALUES, kubectl=kubectl, hub=hub.url)
        for model in MODELS:
            installation.apply(model, **_spec(model))
        for model in MODELS:
            installation.wait_until_healthy(model)
        api = ApiServer.of(cluster)
        try:
            yield NodeRig(installation=installation, api=api, bound=_BOUND, versions={"kubernetes": site.version})
        finally:
            api.close()


def _repo(folder: Path) -> HubRepo:
    return HubRepo(files={path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."})


def _spec(model: str) -> dict[str, Any]:
    return {
        "model": f"chaos/{model}",
        "type": "instruction" if model == REAL else "text",
        "scaling": scaling_of(model),
        "maxLength": max_length_of(model, change=0),
        "resources": _RESOURCES,
    }
