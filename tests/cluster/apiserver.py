"""etcd and kube-apiserver: their command lines, and what the levels of the rig tell them differently."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from cluster.certs import Authority

LOOPBACK: Final = "127.0.0.1"
_NAMES: Final = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_SERVICE_ACCOUNTS: Final = "service-account"


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How one level runs its API server; `flags` are those that no other level has."""

    host: str  # the one address that it listens on
    port: int
    etcd_port: int  # on loopback
    services: IPv4Network
    flags: Mapping[str, object]

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"


def service_account_key(authority: Authority) -> Path:
    """The key that service account tokens are signed with; made by the first call of `api_server_command`."""
    return authority.folder / f"{_SERVICE_ACCOUNTS}.key"


def etcd_command(binary: Path, *, port: int, folder: Path) -> list[str]:
    """etcd on loopback with its data in `folder`, which it makes."""
    url = f"http://{LOOPBACK}:{port}"
    return [
        str(binary),
        f"--data-dir={folder}",
        "--unsafe-no-fsync",
        "--logger=zap",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://{LOOPBACK}:0",
    ]


def api_server_command(binary: Path, *, settings: ApiSettings, authority: Authority) -> list[str]:
    """kube-apiserver with a certificate of its own; the common flags are known to every server from 1.20 to 1.37."""
    addresses = {LOOPBACK, settings.host, str(settings.services[1])}
    hosts = [*(f"IP:{address}" for address in sorted(addresses)), *(f"DNS:{name}" for name in _NAMES)]
    serving = authority.issue("apiserver", user="kube-apiserver", hosts=hosts)
    signing = authority.rsa_key(_SERVICE_ACCOUNTS)
    flags = {
        "advertise-address": settings.host,
        "authorization-mode": "Node,RBAC",
        "bind-address": settings.host,
        "client-ca-file": authority.own.certificate,
        "etcd-servers": f"http://{LOOPBACK}:{settings.etcd_port}",
        "secure-port": settings.port,
        "service-account-issuer": _ISSUER,
        "service-account-key-file": signing,
        "service-account-signing-key-file": signing,
        "service-cluster-ip-range": settings.services,
        "tls-cert-file": serving.certificate,
        "tls-private-key-file": serving.key,
        **settings.flags,
    }
    return with_flags(binary, flags)


def with_flags(binary: Path, flags: Mapping[str, object]) -> list[str]:
    """The command line of a program that takes `--name=value`."""
    return [str(binary), *(f"--{name}={value}" for name, value in flags.items())]
