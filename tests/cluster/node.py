"""A whole cluster of one node on which pods run: the second level of the rig, for root on Linux.

API server, controllers, containerd and kubelet live in namespaces of their own (`cluster.namespaces`). When the process
that holds them ends, even by SIGKILL, the kernel ends every server and every pod, with their mounts and networks.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from cluster.apiserver import api_server_command, etcd_command
from cluster.binaries import cache_folder, find_together
from cluster.certs import Authority
from cluster.cgroups import cgroup_root
from cluster.containerd import containerd_command, load_image, missing_from_containerd, write_pause_image
from cluster.controlplane import ControlPlane, wait_for_api
from cluster.kubeconfig import write_kubeconfig
from cluster.leftovers import sweep
from cluster.namespaces import Inside, Namespaces, namespaces, require_visible
from cluster.network import connect
from cluster.nodeservers import (
    ETCD_PORT,
    NODE_NAME,
    NODE_PROGRAMS,
    NodeSettings,
    api_settings,
    names_command,
    node_commands,
)
from cluster.packages import require_machine
from cluster.ranges import Ranges, claimed_ranges
from cluster.readiness import missing_from_node, wait_until
from cluster.storage import add_disks

PROGRAMS: Final = ("etcd", "kube-apiserver", *NODE_PROGRAMS)


@dataclass(frozen=True, slots=True)
class NodeCluster:
    """A cluster that answers and whose node is ready; everything of it lies in `plane.folder`."""

    plane: ControlPlane
    ranges: Ranges
    inside: Inside

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of an administrator; works on this machine and on the node."""
        return self.plane.kubeconfig

    @property
    def folder(self) -> Path:
        return self.plane.folder

    def check(self) -> None:
        """Raise ClusterError, with the end of its log, if a server has exited."""
        self.plane.check()

    def load_image(self, archive: Path) -> tuple[str, ...]:
        """The names of the images of an archive, which pods can use from now on; see `containerd.load_image`."""
        return load_image(self.inside, archive)


@contextmanager
def node_cluster(*, start_timeout: float = 120.0, parent: Path | None = None) -> Iterator[NodeCluster]:
    """A cluster of one's own for the length of the block; nothing of it is left afterwards.

    Call it in a thread that lives as long as the block, such as the main thread: the servers die with it.

    Args:
        start_timeout: seconds until pods can run.
        parent: where its folder is made, on a disk that overlayfs works on; beside the cache of binaries unless told.

    Raises:
        BinariesMissing: Kubernetes' binaries are not all there.
        MachineUnfit: the machine lacks what a node needs.
        ClusterError: a server exits or is not ready in time; carries the end of the logs.
    """
    deadline = time.monotonic() + start_timeout
    require_machine()
    binaries = find_together(PROGRAMS)
    parent = parent or cache_folder().parent / "nodes"
    require_visible(parent, Path(sys.executable), *binaries.values())
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    with ExitStack() as stack:
        ranges = stack.enter_context(claimed_ranges())
        folder = stack.enter_context(_folder(parent, name=ranges.name))
        cgroup = stack.enter_context(cgroup_root(ranges.name))
        home = stack.enter_context(namespaces(folder))
        connect(home.inside, ranges)
        settings = NodeSettings(folder, ranges, cgroup, Authority.create(folder / "pki"))
        yield _start(home, binaries, settings=settings, deadline=deadline)


def _start(home: Namespaces, binaries: Mapping[str, Path], *, settings: NodeSettings, deadline: float) -> NodeCluster:
    plane = _start_plane(home, binaries, settings=settings)
    commands = node_commands(binaries, settings=settings, url=plane.url)
    # The kubelet of 1.20 looks for a Docker engine for five seconds: meanwhile the API gets ready.
    home.start(commands.pop("kubelet"))
    _load_pause_image(home, plane, deadline=deadline)
    wait_for_api(plane, deadline=deadline)
    # These end, or wait long, where no API answers.
    for command in commands.values():
        home.start(command)
    home.start(names_command(settings=settings, url=plane.url, user=plane.admin), name="dns")
    plane = replace(plane, servers=tuple(home.servers))
    add_disks(plane.api(), _made(settings.folder / "disks"), node=NODE_NAME)
    ready = partial(missing_from_node, plane.api(), node=NODE_NAME, services=settings.ranges.services)
    wait_until("the node", ready, servers=plane.servers, deadline=deadline)
    write_kubeconfig(plane.kubeconfig, url=plane.url, authority=plane.authority.own, user=plane.admin)
    return NodeCluster(plane, settings.ranges, home.inside)


def _start_plane(home: Namespaces, binaries: Mapping[str, Path], *, settings: NodeSettings) -> ControlPlane:
    folder, authority = settings.folder, settings.authority
    home.start(etcd_command(binaries["etcd"], port=ETCD_PORT, folder=folder / "etcd"))
    api = api_settings(settings.ranges, authority)
    home.start(api_server_command(binaries["kube-apiserver"], settings=api, authority=authority))
    home.start(containerd_command(folder, pods=settings.ranges.pods))
    admin = authority.issue("admin", user="kubernetes-admin", group="system:masters")
    return ControlPlane(folder, api.url, authority, admin, tuple(home.servers))


def _load_pause_image(home: Namespaces, plane: ControlPlane, *, deadline: float) -> None:
    archive = plane.folder / "pause.tar"
    write_pause_image(archive)
    missing = partial(missing_from_containerd, home.inside)
    wait_until("containerd", missing, servers=plane.servers, deadline=deadline)
    load_image(home.inside, archive)


@contextmanager
def _folder(parent: Path, *, name: str) -> Iterator[Path]:
    """A new folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
