"""The short form of `make chaos` on a node: faults from one seed, and no request may be lost."""

import asyncio
from pathlib import Path

import pytest

from chaos.node import release
from chaos.reference import prepare
from chaos.report import explained, passed
from chaos.run import run
from cluster.node import NodeCluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

SEED = 1
SECONDS = 75.0


def test_no_request_is_lost_while_parts_of_a_cluster_are_killed(
    node: NodeCluster | None, kubeconfig: Path, tmp_path: Path, smollm2_dir: Path
) -> None:
    if node is None:
        pytest.skip(f"the processes behind {kubeconfig} are not on this machine, so they cannot be killed")
    reference = prepare(tmp_path, smollm2=smollm2_dir)
    with release(node, reference) as rig:
        found = asyncio.run(run(rig, seed=SEED, seconds=SECONDS, answers=reference.answers, report=print))
        assert passed(found), f"{explained(found)}\n{rig.logs()}"
