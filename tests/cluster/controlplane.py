"""etcd and kube-apiserver on loopback: a real API with real RBAC, ready in seconds, gone with the process.

Like envtest's, it has no controllers: nothing schedules or runs pods, no service account appears by itself, and a
deleted namespace stays Terminating. The node level (`cluster.node`) has all of them.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cluster.api import Api
from cluster.apiserver import LOOPBACK, ApiSettings, api_server_command, etcd_command
from cluster.binaries import find
from cluster.certs import Authority, Certificate
from cluster.kubeconfig import write_kubeconfig
from cluster.processes import ReservedPort, Server
from cluster.readiness import missing_from_api, wait_until

# Like envtest's: nobody makes the default service account that the plugin insists on, and the reconciler writes the
# server's address into an Endpoints object, which may not name loopback.
_WITHOUT_CONTROLLERS: Final = {"disable-admission-plugins": "ServiceAccount", "endpoint-reconciler-type": "none"}
_NO_FLAGS: Final[Mapping[str, object]] = MappingProxyType({})
_SERVICES: Final = IPv4Network("10.96.0.0/16")


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A control plane that answers; everything of it lies in `folder`."""

    folder: Path
    url: str
    authority: Authority
    admin: Certificate
    servers: tuple[Server, ...]

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of an administrator."""
        return self.folder / "kubeconfig"

    def api(self) -> Api:
        """The API as an administrator sees it."""
        return Api(self.url, authority=self.authority.own, user=self.admin)

    def check(self) -> None:
        """Raise ClusterError, with the end of its log, if a server has exited."""
        for server in self.servers:
            server.check()


@contextmanager
def control_plane(
    *,
    start_timeout: float = 60.0,
    parent: Path | None = None,
    api_server_flags: Mapping[str, object] = _NO_FLAGS,
) -> Iterator[ControlPlane]:
    """A control plane of one's own for the length of the block; nothing of it is left afterwards.

    Args:
        start_timeout: seconds until the API must be ready.
        parent: where its folder is made; the machine's place for temporary files unless told.
        api_server_flags: more of its flags, by name without the dashes.

    Raises:
        BinariesMissing: etcd or kube-apiserver is not to be found.
        ClusterError: a server exits or is not ready in time; carries the end of the logs.
    """
    binaries = find("etcd"), find("kube-apiserver")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hfmodel-cluster-", dir=parent))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        plane = _start(*binaries, folder=folder, stack=stack, flags=api_server_flags)
        wait_for_api(plane, deadline=time.monotonic() + start_timeout)
        write_kubeconfig(plane.kubeconfig, url=plane.url, authority=plane.authority.own, user=plane.admin)
        yield plane


def wait_for_api(plane: ControlPlane, *, deadline: float) -> None:
    """Wait until the API is ready; raises ClusterError as `wait_until` does."""
    wait_until("the API", partial(missing_from_api, plane.api()), servers=plane.servers, deadline=deadline)


def _start(
    etcd: Path, api_server: Path, *, folder: Path, stack: ExitStack, flags: Mapping[str, object]
) -> ControlPlane:
    authority = Authority.create(folder / "pki")
    admin = authority.issue("admin", user="kubernetes-admin", group="system:masters")
    # Reserved until the block ends: both servers listen long before.
    etcd_port, api_port = (stack.enter_context(ReservedPort(LOOPBACK)).number for _ in range(2))
    settings = ApiSettings(LOOPBACK, api_port, etcd_port, _SERVICES, {**_WITHOUT_CONTROLLERS, **flags})
    commands = [
        etcd_command(etcd, port=etcd_port, folder=folder / "etcd"),
        api_server_command(api_server, settings=settings, authority=authority),
    ]
    servers = []
    for command in commands:
        server = Server(command, folder=folder)
        stack.callback(server.stop)
        servers.append(server)
    return ControlPlane(folder, settings.url, authority, admin, tuple(servers))
