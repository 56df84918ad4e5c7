"""However a node ends, it leaves nothing running or mounted; a killed one's folder and groups go at the next start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from cluster.binaries import BinariesMissing, find, find_together
from cluster.cgroups import groups
from cluster.containerd import PAUSE_IMAGE
from cluster.errors import ClusterError
from cluster.node import PROGRAMS, node_cluster
from cluster.packages import MachineUnfit, require_machine
from cluster.session import Session
from support.alive import children_of, wait_until_gone
from support.kubectl import Kubectl
from support.process_exit import wait_for_exit

pytestmark = pytest.mark.slow

SECONDS: Final = 30.0
SYSCTLS: Final = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
SLEEPER: Final = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sleeper"},
    "spec": {"containers": [{"name": "sleeper", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}]},
}


@pytest.fixture(autouse=True)
def able() -> None:
    try:
        require_machine()
        find_together(PROGRAMS)
    except (BinariesMissing, MachineUnfit) as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Terminal:
    """Runs the command with a cache of its own, so that a cluster that the developer has up stays out of it."""

    cache: Path
    assets: Path

    @property
    def session(self) -> Session:
        return Session(self.cache / "kubernetes" / "session")

    def __call__(self, *arguments: str) -> str:
        environ = {
            **os.environ,
            "HFMODEL_TEST_CACHE": str(self.cache),
            "KUBEBUILDER_ASSETS": str(self.assets),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-m", "cluster", *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name, binary in find_together(PROGRAMS).items():
        (assets / name).symlink_to(binary)
    terminal = Terminal(tmp_path / "cache", assets)
    yield terminal
    terminal.session.stop()


@dataclass(frozen=True)
class Node:
    """What there is of one node on this machine."""

    folder: Path
    name: str
    init: int

    @classmethod
    def of(cls, kubeconfig: Path) -> "Node":
        folder = kubeconfig.resolve().parent
        return cls(folder, folder.name.rpartition("-")[0], int((folder / "init").read_text()))

    def processes(self) -> set[int]:
        """The servers, and all that descends from them."""
        space = Path(f"/proc/{self.init}/ns/pid").readlink()
        found: set[int] = set()
        new = {int(path.parents[1].name) for path in Path("/proc").glob("[0-9]*/ns/pid") if _is(path, space)}
        while new:
            found |= new
            new = {child for parent in new for child in children_of(parent)} - found
        return found

    def has_link(self) -> bool:
        return Path("/sys/class/net", self.name).exists()

    def has_route(self) -> bool:
        return self.name in Path("/proc/net/route").read_text()

    def is_mounted(self) -> bool:
        return self.name in Path("/proc/self/mountinfo").read_text()

    def has_groups(self) -> bool:
        return bool(groups(self.name))


def _is(link: Path, target: Path) -> bool:
    """Whether it leads there; a process may end meanwhile."""
    try:
        return link.readlink() == target
    except OSError:
        return False


def wait_for(what: str, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s in vain for {what}"
        time.sleep(0.05)


def settings() -> list[str]:
    return [Path("/proc/sys", name).read_text() for name in SYSCTLS]


def run_sleeper(kubeconfig: Path) -> None:
    kubectl = Kubectl(find("kubectl"), kubeconfig, "default")
    kubectl.apply(SLEEPER)
    kubectl("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=50s")


def test_the_kernel_ends_a_node_whose_holder_was_killed(terminal: Terminal) -> None:
    before = settings()
    node = Node.of(Path(terminal("up", "--node", "--detach")))
    run_sleeper(terminal.session.kubeconfig)
    processes = node.processes()
    assert len(processes) > len(PROGRAMS) + len(("init", "shim", "pause", "sleeper"))
    assert node.has_link()
    assert node.has_route()
    assert node.has_groups()
    assert settings() == before

    holder = terminal.session.holder()
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    assert wait_for_exit(holder)
    wait_until_gone(lambda: processes)
    wait_for("the link to go", lambda: not node.has_link())
    assert not node.has_route()
    assert not node.is_mounted()

    terminal("up", "--node", "--detach")
    assert not node.folder.exists()
    fresh = Node.of(terminal.session.kubeconfig)
    assert fresh.name == node.name or not node.has_groups()
    terminal("down")
    assert not fresh.folder.exists()
    assert not fresh.has_groups()
    wait_for("the link to go", lambda: not fresh.has_link())


def test_a_node_that_is_not_ready_in_time_says_what_is_missing_and_goes(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match=r"(?s)was not ready after .*: .*\n--- etcd\n"),
        node_cluster(start_timeout=1.0, parent=tmp_path),
    ):
        pytest.fail("started")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with node_cluster(parent=tmp_path) as cluster:
        cluster.check()
        proxy = next(server for server in cluster.plane.servers if server.name == "kube-proxy")
        for process in children_of(proxy.pid):
            os.kill(process, signal.SIGKILL)
        wait_for("the end", lambda: has_ended(cluster.check))
        with pytest.raises(ClusterError, match=r"(?s)kube-proxy exited with code -9:\n.*iptables"):
            cluster.check()


def has_ended(check: Callable[[], None]) -> bool:
    try:
        check()
    except ClusterError:
        return True
    return False
