"""One cluster whose node runs pods, with one release of the chart, for every test of the suite."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.binaries import find
from cluster.errors import ClusterError
from cluster.node import NodeCluster, node_cluster
from cluster.packages import require_machine as require_node_machine
from images.build import build
from images.build import require_machine as require_build_machine
from images.names import DEFAULT_TAG
from support.chart_release import Site, without_crd
from support.chart_release import site as chart_site
from support.helm import Json, Values
from support.hub_server import HubRepo, HubServer
from support.installation import SMOLLM2, Installation, install
from support.kubectl import Kubectl

# What the tests of these images need beside the chart's defaults: small, quick, and everything on one node.
_VALUES: Json = {
    "cache": {"size": "5Gi", "keep": False},
    "runtime": {"drainDelaySeconds": 2},
    "router": {"drainDelaySeconds": 2},
    "gpuProfiles": {"test-gpu": {"resourceName": "example.com/gpu"}},
}


@pytest.fixture(scope="session")
def node() -> Iterator[NodeCluster | None]:
    """A node of our own with our images; None where $KUBECONFIG names a cluster, which then has to have them."""
    if os.environ.get("KUBECONFIG"):
        yield None
        return
    try:
        require_node_machine()
        require_build_machine()
    except ClusterError as error:
        pytest.skip(str(error))
    archives = [build(name, report=_report) for name in ("operator", "runtime")]
    with node_cluster() as cluster:
        for archive in archives:
            cluster.load_image(archive)
        yield cluster


@pytest.fixture(scope="session")
def kubeconfig(node: NodeCluster | None) -> Iterator[Path]:
    """Of a cluster that does not have our CRD yet."""
    found = Path(os.environ["KUBECONFIG"]) if node is None else node.kubeconfig
    with without_crd(found):
        yield found


@pytest.fixture(scope="session")
def site(kubeconfig: Path) -> Iterator[Site]:
    """A namespace for the tests that share one installation, and Helm in it."""
    with chart_site(kubeconfig) as found:
        yield found


@pytest.fixture(scope="session")
def hub(node: NodeCluster | None, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where models come from: a Hub on this machine that has SmolLM2, which the node reaches; else the Hub itself."""
    if node is None:
        yield ""
        return
    folder: Path = request.getfixturevalue("smollm2_dir")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}
    with HubServer({SMOLLM2: HubRepo(files=files)}, host=str(node.ranges.host)) as server:
        yield server.url


@pytest.fixture(scope="session")
def values(node: NodeCluster | None) -> Values:
    """Of the release. With $KUBECONFIG, $HFMODEL_E2E_REGISTRY and $HFMODEL_E2E_TAG say where the images are."""
    if node is not None:
        images: Json = {name: {"tag": DEFAULT_TAG} for name in ("operator", "runtime")}
        return {**_VALUES, "images": images}
    tag = os.environ.get("HFMODEL_E2E_TAG", "")
    images = {"registry": os.environ.get("HFMODEL_E2E_REGISTRY", "")}
    images |= {name: {"tag": tag} for name in ("operator", "runtime")}
    router = {**_VALUES["router"], "service": {"type": "NodePort"}}
    return {**_VALUES, "images": images, "router": router}


@pytest.fixture(scope="session")
def installation(kubeconfig: Path, site: Site, values: Values, hub: str) -> Installation:
    return install(site, values, kubectl=Kubectl(find("kubectl"), kubeconfig, site.namespace), hub=hub)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
