"""Disks of a node: folders that claims bind to at once, with a default class, as on a cluster with a provisioner.

They are local volumes, which the kubelet hands to a pod's fsGroup as it does a cloud's disks; host paths stay root's.
"""

from pathlib import Path
from typing import Any, Final

from cluster.api import Api

DISKS: Final = 40
_CLASS: Final = "disk"
_CAPACITY: Final = "1Ti"


def add_disks(api: Api, folder: Path, *, node: str, count: int = DISKS) -> None:
    """Make `count` empty folders in `folder`, which exists, and offer them as persistent volumes of `node`.

    A disk serves one claim; it is not used again after that.

    Raises:
        ClusterError: the API refuses one.
    """
    api.create("/apis/storage.k8s.io/v1/storageclasses", _storage_class())
    for number in range(count):
        path = folder / f"disk-{number:02}"
        path.mkdir()
        api.create("/api/v1/persistentvolumes", _volume(path, node=node))


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": _CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    }


def _volume(path: Path, *, node: str) -> dict[str, Any]:
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": path.name},
        "spec": {
            "accessModes": ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"],
            "capacity": {"storage": _CAPACITY},
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": _CLASS,
        },
    }
