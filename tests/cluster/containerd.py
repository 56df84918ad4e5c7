"""containerd inside a node: its configuration, and images from archives."""

import json
import re
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from cluster.errors import ClusterError
from cluster.images import write_image
from cluster.namespaces import Inside
from cluster.network import pod_network
from cluster.packages import BUSYBOX, cni_folder, static_busybox

SOCKET: Final = "/run/containerd/containerd.sock"
PAUSE_IMAGE: Final = "localhost/hfmodel-test/pause:1"
_NAMESPACE: Final = "k8s.io"
_POLL_SECONDS: Final = 0.02
_KNOWN_SECONDS: Final = 30.0
_IMPORTED: Final = re.compile(r"^unpacking (\S+) \(sha256:", re.MULTILINE)
_MADE_UP: Final = re.compile(r"import-\d{4}-\d\d-\d\d[:@]")  # by ctr, for an image that is called no more than "latest"
_CONFIG: Final = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Lowering a score needs CAP_SYS_RESOURCE, which a machine may lack.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{folder}/cni"
"""


def containerd_command(folder: Path, *, pods: IPv4Network) -> list[str]:
    """containerd with all its state below `folder`, and pods with addresses of `pods`."""
    config = folder / "containerd.toml"
    config.write_text(_CONFIG.format(folder=folder, socket=SOCKET, pause=PAUSE_IMAGE, plugins=cni_folder()))
    (folder / "cni").mkdir()
    (folder / "cni" / "pods.conflist").write_text(json.dumps(pod_network(pods)))
    return ["containerd", "--config", str(config)]


def missing_from_containerd(inside: Inside) -> str | None:
    """What containerd lacks, for a person; None when it can be asked."""
    return None if Path(f"/proc/{inside.init}/root{SOCKET}").exists() else f"it does not listen on {SOCKET}"


def write_pause_image(archive: Path) -> None:
    """The image of the container that holds a pod's namespaces.

    Raises:
        ClusterError: as `write_image`, or there is no static busybox.
    """
    program = static_busybox()
    if program is None:
        raise ClusterError("a static busybox is missing: sudo apt-get install busybox-static")
    files = {f"bin/{BUSYBOX}": program}
    write_image(archive, name=PAUSE_IMAGE, files=files, entrypoint=[f"/bin/{BUSYBOX}", "sleep", "infinity"])


def load_image(inside: Inside, archive: Path) -> tuple[str, ...]:
    """Give the node the images of an OCI or Docker archive; returns their names, as pods may write them.

    An image of the same name is replaced for pods that start from now on. Returns once the kubelet knows them.

    Raises:
        ClusterError: there is no such file, or no image with a name in it.
    """
    if not archive.is_file():
        raise ClusterError(f"{archive} is no file: make an archive by `buildah push IMAGE oci-archive:FILE:NAME`")
    try:
        printed = inside.run_on(archive, *_ctr("import", "-"))
    except ClusterError as error:
        raise ClusterError(f"{archive} cannot be loaded: {error}") from error
    names = tuple(_full_name(inside, name) for name in _IMPORTED.findall(printed) if not _MADE_UP.match(name))
    if not names:
        raise ClusterError(f"{archive} names no image: give it one by `buildah push IMAGE oci-archive:FILE:NAME`")
    _wait_until_known(inside, names)
    return names


def full_name(name: str) -> str:
    """An image's name as a kubelet completes it."""
    first, slash, _rest = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    has_registry = "." in first or ":" in first or first == "localhost"
    return name if has_registry else f"docker.io/{name}"


def _full_name(inside: Inside, name: str) -> str:
    full = full_name(name)
    if full != name:
        inside.run(*_ctr("tag", "--force", name, full))
    return full


def _wait_until_known(inside: Inside, names: tuple[str, ...]) -> None:
    """containerd tells its Kubernetes side by an event, which then labels the image."""
    deadline = time.monotonic() + _KNOWN_SECONDS
    for name in names:
        while "io.cri-containerd.image=managed" not in inside.run(*_ctr("ls", f"name=={name}")):
            if time.monotonic() > deadline:
                raise ClusterError(f"containerd does not take note of {name} (see containerd.log)")
            time.sleep(_POLL_SECONDS)


def _ctr(*arguments: str) -> list[str]:
    return ["ctr", "--address", SOCKET, "--namespace", _NAMESPACE, "image", *arguments]
