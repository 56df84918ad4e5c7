"""`python -m cluster up` and `down`, as a person types them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from cluster.binaries import BinariesMissing, find
from cluster.session import Session
from support.live_api import server_version
from support.process_exit import wait_for_exit

pytestmark = pytest.mark.slow


class Terminal:
    """Runs the command with a cache of its own, so that a cluster that the developer has up stays out of it."""

    def __init__(self, folder: Path) -> None:
        self._environ = {
            **os.environ,
            "HFMODEL_TEST_CACHE": str(folder / "cache"),
            "KUBEBUILDER_ASSETS": str(folder / "assets"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.session = Session(folder / "cache" / "kubernetes" / "session")

    def cluster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cluster", *arguments]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=120, check=False)

    def up(self) -> Path:
        done = self.cluster("up", "--detach")
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver"):
        try:
            (assets / name).symlink_to(find(name))
        except BinariesMissing as error:
            pytest.skip(str(error))
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.session.stop()


def answers(kubeconfig: Path) -> bool:
    loaded: client.ApiClient = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    with loaded as api_client:
        return server_version(api_client) >= (1, 20)


def test_a_cluster_stays_up_until_it_is_taken_down(terminal: Terminal) -> None:
    kubeconfig = terminal.up()
    assert answers(kubeconfig)
    assert terminal.up() == kubeconfig
    second = terminal.cluster("up")
    assert (second.returncode, second.stderr) == (1, f"Error: a cluster is up already: KUBECONFIG={kubeconfig}\n")

    folder = kubeconfig.resolve().parent
    assert terminal.cluster("down").stderr == "stopped\n"
    assert not kubeconfig.exists()
    assert not folder.exists()
    assert terminal.cluster("down").stderr == "no cluster is up\n"


def test_a_cluster_whose_holder_was_killed_is_not_taken_for_a_live_one(terminal: Terminal) -> None:
    stale = terminal.up().resolve()
    holder = terminal.session.holder()
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    assert wait_for_exit(holder)
    fresh = terminal.up()
    assert not stale.exists()
    assert answers(fresh)
