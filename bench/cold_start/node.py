"""A cluster of one's own for the wakes that are measured: the chart on a node of the tests' rig (Debian, root)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.binaries import find
from cluster.node import node_cluster
from images.build import build
from images.names import DEFAULT_TAG
from support.chart_release import site as chart_site
from support.chart_release import without_crd
from support.helm import Json
from support.hub_server import HubRepo, HubServer
from support.installation import SMOLLM2, install
from support.kubectl import Kubectl

_VALUES: Final[Json] = {
    "images": {name: {"tag": DEFAULT_TAG} for name in ("operator", "runtime")},
    "cache": {"size": "5Gi", "keep": False},
    "runtime": {"drainDelaySeconds": 2},
}


@contextmanager
def released(model_dir: Path, *, model_id: str) -> Iterator[str]:
    """The router's address, with the model of `model_dir` in the cache; nothing of it is left afterwards."""
    archives = [build(name, report=lambda line: print(line, flush=True)) for name in ("operator", "runtime")]
    files = {path.name: path.read_bytes() for path in model_dir.iterdir() if path.name[0] != "."}
    with node_cluster() as cluster:
        for archive in archives:
            cluster.load_image(archive)
        with (
            without_crd(cluster.kubeconfig),
            chart_site(cluster.kubeconfig) as site,
            HubServer({SMOLLM2: HubRepo(files=files)}, host=str(cluster.ranges.host)) as hub,
        ):
            kubectl = Kubectl(find("kubectl"), cluster.kubeconfig, site.namespace)
            installation = install(site, _VALUES, kubectl=kubectl, hub=hub.url)
            installation.apply(model_id)
            installation.wait_until_healthy(model_id)
            yield installation.url
