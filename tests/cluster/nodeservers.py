"""What makes a node of a control plane: command lines of the controllers, the scheduler, the kubelet and kube-proxy."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster.apiserver import ApiSettings, service_account_key, with_flags
from cluster.certs import Authority, Certificate
from cluster.containerd import SOCKET
from cluster.dns import DOMAIN
from cluster.kubeconfig import write_kubeconfig
from cluster.ranges import Ranges

NODE_NAME: Final = "hfmodel-test"
NODE_PROGRAMS: Final = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
# Nothing else lives in the node's network namespace.
ETCD_PORT: Final = 2379
_API_PORT: Final = 6443
_USERS: Final[Mapping[str, tuple[str, str]]] = {
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the servers of a node are told; they write into `folder` alone."""

    folder: Path
    ranges: Ranges
    cgroup: str
    authority: Authority

    def kubeconfig(self, name: str) -> Path:
        """That of one of NODE_PROGRAMS."""
        return self.folder / f"{name}.kubeconfig"


def api_settings(ranges: Ranges, authority: Authority) -> ApiSettings:
    """An API server that asks kubelets for logs and the like, and holds each to its own node's objects."""
    client = authority.issue("apiserver-kubelet", user="kube-apiserver-kubelet", group="system:masters")
    flags = {
        "allow-privileged": "true",
        "enable-admission-plugins": "NodeRestriction",
        "kubelet-certificate-authority": authority.own.certificate,
        "kubelet-client-certificate": client.certificate,
        "kubelet-client-key": client.key,
        "kubelet-preferred-address-types": "InternalIP",
    }
    return ApiSettings(str(ranges.node), _API_PORT, ETCD_PORT, ranges.services, flags)


def node_commands(binaries: Mapping[str, Path], *, settings: NodeSettings, url: str) -> dict[str, list[str]]:
    """The command lines of NODE_PROGRAMS, by name; writes the files that they read."""
    for name, (user, group) in _USERS.items():
        certificate = settings.authority.issue(name, user=user, group=group)
        write_kubeconfig(settings.kubeconfig(name), url=url, authority=settings.authority.own, user=certificate)
    flags = {
        "kube-controller-manager": _controller_flags(settings),
        "kube-scheduler": _scheduler_flags(settings),
        "kubelet": _kubelet_flags(settings),
        "kube-proxy": _proxy_flags(settings),
    }
    return {name: with_flags(binaries[name], flags[name]) for name in NODE_PROGRAMS}


def names_command(*, settings: NodeSettings, url: str, user: Certificate) -> list[str]:
    """The node's name server, which asks the API as `user`."""
    own = settings.authority.own.certificate
    identity = ["--authority", str(own), "--certificate", str(user.certificate), "--key", str(user.key)]
    program = [sys.executable, "-m", "cluster.dns", "--listen", str(settings.ranges.node), "--url", url]
    return ["env", f"PYTHONPATH={Path(__file__).parents[1]}", *program, *identity]


def _controller_flags(settings: NodeSettings) -> dict[str, object]:
    return {
        **_own_kubeconfig(settings, "kube-controller-manager"),
        "kube-api-burst": 400,
        "kube-api-qps": 200,
        "root-ca-file": settings.authority.own.certificate,
        "service-account-private-key-file": service_account_key(settings.authority),
        "use-service-account-credentials": "true",
    }


def _scheduler_flags(settings: NodeSettings) -> dict[str, object]:
    return _own_kubeconfig(settings, "kube-scheduler")


def _own_kubeconfig(settings: NodeSettings, name: str) -> dict[str, object]:
    kubeconfig = settings.kubeconfig(name)
    return {
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "kubeconfig": kubeconfig,
        "leader-elect": "false",
    }


def _kubelet_flags(settings: NodeSettings) -> dict[str, object]:
    config = settings.folder / "kubelet.json"
    config.write_text(json.dumps(_kubelet_config(settings)))
    return {
        "config": config,
        "container-runtime": "remote",
        "container-runtime-endpoint": f"unix://{SOCKET}",
        "hostname-override": NODE_NAME,
        "kubeconfig": settings.kubeconfig("kubelet"),
        "node-ip": settings.ranges.node,
    }


def _kubelet_config(settings: NodeSettings) -> dict[str, Any]:
    authority, address = settings.authority, str(settings.ranges.node)
    serving = authority.issue("kubelet-serving", user=f"system:node:{NODE_NAME}", hosts=[f"IP:{address}"])
    resolver = settings.folder / "resolv.conf"
    resolver.write_text(f"nameserver {address}\n")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.own.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [address],
        "clusterDomain": DOMAIN,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": settings.cgroup,
        # The machine's disk is the developer's: no pod is evicted for what else lies there.
        "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"},
        # One node asks as much as it likes, and tells of a change at once.
        "eventBurst": 200,
        "eventRecordQPS": 100,
        "kubeAPIBurst": 200,
        "kubeAPIQPS": 100,
        "nodeStatusUpdateFrequency": "1s",
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # A pod that has ended is looked at again, and so removed, that often: the kubelet of 1.20 is in no hurry else.
        "syncFrequency": "1s",
        "resolvConf": str(resolver),
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "volumePluginDir": str(settings.folder / "volume-plugins"),
    }


def _proxy_flags(settings: NodeSettings) -> dict[str, object]:
    return {
        # Told, it need not wait until the kubelet has told the API.
        "bind-address": settings.ranges.node,
        "cluster-cidr": settings.ranges.pods,
        # The machine's own limits stay: they are not this network's to change.
        "conntrack-max-per-core": 0,
        "conntrack-tcp-timeout-close-wait": "0s",
        "conntrack-tcp-timeout-established": "0s",
        "hostname-override": NODE_NAME,
        "kubeconfig": settings.kubeconfig("kube-proxy"),
        "oom-score-adj": 0,
        "proxy-mode": "iptables",
    }
