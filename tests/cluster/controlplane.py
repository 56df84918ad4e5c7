"""etcd and kube-apiserver on loopback: a real API with real RBAC, ready in seconds, gone with the process.

Like envtest's, it has no controllers: nothing schedules or runs pods, no service account appears by itself, and a
deleted namespace stays Terminating. A node level adds them with the same `Authority` and `Server`.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.binaries import find
from cluster.certs import Authority, Certificate
from cluster.errors import ClusterError
from cluster.kubeconfig import write_kubeconfig
from cluster.processes import ReservedPort, Server
from cluster.readiness import Readiness

HOST: Final = "127.0.0.1"
_SERVICE_RANGE: Final = "10.96.0.0/16"
_SERVICE_HOSTS: Final = ("IP:10.96.0.1", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc")
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_POLL_SECONDS: Final = 0.1


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

    def check(self) -> None:
        """Raise ClusterError, with the end of its log, if a server has exited."""
        for server in self.servers:
            server.check()


@contextmanager
def control_plane(*, start_timeout: float = 60.0, parent: Path | None = None) -> Iterator[ControlPlane]:
    """A control plane of one's own for the length of the block; nothing of it is left afterwards.

    Args:
        start_timeout: seconds until the API must be ready.
        parent: where its folder is made; the machine's place for temporary files unless told.

    Raises:
        BinariesMissing: etcd or kube-apiserver is not to be found.
        ClusterError: a server exits or is not ready in time; carries the end of the logs.
    """
    binaries = find("etcd"), find("kube-apiserver")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hfmodel-cluster-", dir=parent))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        plane = _start(*binaries, folder=folder, stack=stack)
        _wait_until_ready(plane, timeout=start_timeout)
        write_kubeconfig(plane.kubeconfig, url=plane.url, authority=plane.authority.own, user=plane.admin)
        yield plane


def _start(etcd: Path, api_server: Path, *, folder: Path, stack: ExitStack) -> ControlPlane:
    authority = Authority.create(folder / "pki")
    admin = authority.issue("admin", user="kubernetes-admin", group="system:masters")
    # Reserved until the block ends: both servers listen long before.
    etcd_port, api_port = (stack.enter_context(ReservedPort(HOST)).number for _ in range(2))
    commands = [
        _etcd_command(etcd, port=etcd_port),
        _api_server_command(api_server, etcd_port=etcd_port, port=api_port, authority=authority),
    ]
    servers = []
    for command in commands:
        server = Server(command, folder=folder)
        stack.callback(server.stop)
        servers.append(server)
    return ControlPlane(folder, f"https://{HOST}:{api_port}", authority, admin, tuple(servers))


def _wait_until_ready(plane: ControlPlane, *, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    readiness = Readiness(plane.url, authority=plane.authority.own, user=plane.admin)
    while (missing := readiness.missing()) is not None:
        plane.check()
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {server.name}\n{server.log_end()}" for server in plane.servers)
            raise ClusterError(f"the API was not ready after {timeout:g} s: {missing}\n{logs}")
        time.sleep(_POLL_SECONDS)


def _etcd_command(binary: Path, *, port: int) -> list[str]:
    url = f"http://{HOST}:{port}"
    return [
        str(binary),
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        "--logger=zap",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://{HOST}:0",
    ]


def _api_server_command(binary: Path, *, etcd_port: int, port: int, authority: Authority) -> list[str]:
    """Only flags that every server from 1.20 to 1.37 knows."""
    hosts = [f"IP:{HOST}", "DNS:localhost", *_SERVICE_HOSTS]
    serving = authority.issue("apiserver", user="kube-apiserver", hosts=hosts)
    signing = authority.rsa_key("service-account")
    flags = {
        "advertise-address": HOST,
        "authorization-mode": "Node,RBAC",
        "bind-address": HOST,
        "client-ca-file": authority.own.certificate,
        # Nobody makes the default service account that this plugin insists on.
        "disable-admission-plugins": "ServiceAccount",
        # The reconciler writes the server's address into an Endpoints object, which may not name loopback.
        "endpoint-reconciler-type": "none",
        "etcd-servers": f"http://{HOST}:{etcd_port}",
        "secure-port": port,
        "service-account-issuer": _ISSUER,
        "service-account-key-file": signing,
        "service-account-signing-key-file": signing,
        "service-cluster-ip-range": _SERVICE_RANGE,
        "tls-cert-file": serving.certificate,
        "tls-private-key-file": serving.key,
    }
    return [str(binary), *(f"--{name}={value}" for name, value in flags.items())]
