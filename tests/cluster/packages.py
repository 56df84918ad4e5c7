"""What a node needs of the machine: Linux, root, and programs that Debian's packages hold."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from cluster.errors import ClusterError

# /usr/sbin is not on everybody's PATH.
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CNI_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
BUSYBOX: Final = "busybox"
_PROGRAMS: Final[Mapping[str, str]] = {
    "conntrack": "conntrack",
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "unshare": "util-linux",
}
_CNI_PLUGINS: Final = ("host-local", "loopback", "portmap", "ptp")
_INTERPRETER: Final = b"/ld-"  # in the first page of every dynamically linked program, and of no static one
_FIRST_PAGE: Final = 4096


def missing_packages(path: str = SYSTEM_PATH, cni_folders: Iterable[Path] = CNI_FOLDERS) -> list[str]:
    """Names of the Debian packages that a node needs and this machine lacks, sorted."""
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=path) is None}
    if cni_folder(cni_folders) is None:
        missing.add("containernetworking-plugins")
    if static_busybox(path) is None:
        missing.add("busybox-static")
    return sorted(missing)


def cni_folder(folders: Iterable[Path] = CNI_FOLDERS) -> Path | None:
    """The folder that has every CNI plugin of the node's network."""
    return next((folder for folder in folders if all((folder / name).exists() for name in _CNI_PLUGINS)), None)


def static_busybox(path: str = SYSTEM_PATH) -> Path | None:
    """A busybox that runs in an image with nothing else in it."""
    found = shutil.which(BUSYBOX, path=path)
    if found is None:
        return None
    with Path(found).open("rb") as file:
        return None if _INTERPRETER in file.read(_FIRST_PAGE) else Path(found)


class MachineUnfit(ClusterError):
    """No node can run on this machine as it is."""


def require_machine() -> None:
    """Raise MachineUnfit, in one sentence that says what to do, if no node can run here."""
    if sys.platform != "linux":
        raise MachineUnfit("a node runs on Linux only: set KUBECONFIG to a cluster instead")
    if missing := missing_packages():
        raise MachineUnfit(f"a node needs what this machine lacks: sudo apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise MachineUnfit("a node needs root: run it with sudo, or set KUBECONFIG to a cluster instead")
