"""Fixtures of tests that run the operator against a real API server; a module names this one in `pytest_plugins`."""

import asyncio
import itertools
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.binaries import BinariesMissing
from cluster.target import target_cluster
from hfmodel_operator.cluster.api import kube_api
from support.kubelet import fake_runtime
from support.kubelet_auto import AutoCluster, auto_cluster
from support.live_api import live_api
from support.operator_account import operator_kubeconfig
from support.operator_gate import Gate, operator_gate
from support.operator_rig import FETCHED, OperatorRig, StartRuntime, create_namespace, operator_rig


@pytest.fixture(scope="module")
def operator_cluster() -> Iterator[Path]:
    """The kubeconfig of an administrator; the CRD is installed."""
    try:
        with target_cluster() as found, live_api(found):
            yield found
    except BinariesMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def runtime_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
async def rig(operator_cluster: Path, tmp_path: Path, runtime_port: int) -> AsyncIterator[OperatorRig]:
    namespace = f"operator-{uuid.uuid4().hex[:8]}"
    async with kube_api(namespace, kubeconfig=str(operator_cluster)) as api:
        await create_namespace(api)
        own = tmp_path / "kubeconfig"
        await operator_kubeconfig(api, admin=operator_cluster, path=own)
        async with operator_rig(api, kubeconfig=own, folder=tmp_path, port=runtime_port) as found:
            yield found


@pytest.fixture
def runtime(runtime_port: int) -> Iterator[StartRuntime]:
    """Starts a runtime at an address of its own: all pods have the same port."""
    numbers = itertools.count(2)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(fake_runtime(f"127.0.0.{next(numbers)}", runtime_port))


@pytest.fixture
async def gate(rig: OperatorRig) -> AsyncIterator[Gate]:
    """What stands between the server and the operators that are started with its kubeconfig."""
    async with operator_gate(rig.kubeconfig, rig.folder / "gate") as found:
        yield found
        found.come_back()
        await asyncio.to_thread(rig.stop_operators)


@pytest.fixture
async def cluster(rig: OperatorRig, runtime: StartRuntime) -> AsyncIterator[AutoCluster]:
    async with auto_cluster(rig.api, runtime, fetched=FETCHED) as found:
        yield found
