"""A cluster that $KUBECONFIG names is used as it is."""

from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.target import target_cluster, target_node_cluster


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "config").touch()
    return {"KUBECONFIG": str(tmp_path / "config")}


def test_a_named_cluster_is_not_started_and_keeps_its_own_images(environ: dict[str, str], tmp_path: Path) -> None:
    with target_node_cluster(environ) as cluster:
        assert cluster.kubeconfig == tmp_path / "config"
        assert cluster.load_image(tmp_path / "image.tar") == ()


def test_a_named_cluster_serves_for_the_api_alone(environ: dict[str, str], tmp_path: Path) -> None:
    with target_cluster(environ) as kubeconfig:
        assert kubeconfig == tmp_path / "config"


@pytest.mark.parametrize("target", [target_cluster, target_node_cluster], ids=["control plane", "node"])
def test_a_name_that_leads_nowhere_is_told(target: object, tmp_path: Path) -> None:
    assert callable(target)
    with pytest.raises(ClusterError, match="nowhere names no file"), target({"KUBECONFIG": str(tmp_path / "nowhere")}):
        pytest.fail("found")
