"""Images with one static program in them, as OCI archives: nothing but tar and JSON."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cluster.errors import ClusterError

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_OCI: Final = "application/vnd.oci.image"
_MODE: Final = 0o755


def write_image(archive: Path, *, name: str, files: Mapping[str, Path], entrypoint: Sequence[str]) -> None:
    """Write the OCI archive of an image `name` from scratch.

    Args:
        archive: the file to write.
        name: the full name with a tag ("localhost/pause:1").
        files: by their path in the image, without the leading slash.
        entrypoint: what a container runs.

    Raises:
        ClusterError: the machine is of an architecture that the rig does not know.
    """
    blobs = _Blobs()
    layer = blobs.add(_layer(files), f"{_OCI}.layer.v1.tar")
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": blobs.add(_json(config), f"{_OCI}.config.v1+json"),
        "layers": [layer],
    }
    entry = blobs.add(_json(manifest), f"{_OCI}.manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [{**entry, "annotations": {"org.opencontainers.image.ref.name": name}}]}
    with tarfile.open(archive, "w") as tar:
        _put(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _put(tar, "index.json", _json(index))
        for digest, content in blobs.contents.items():
            _put(tar, f"blobs/sha256/{digest}", content)


class _Blobs:
    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def add(self, content: bytes, media_type: str) -> dict[str, Any]:
        """The descriptor of `content`, which is kept."""
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, path in files.items():
            _put(tar, name, path.read_bytes())
    return buffer.getvalue()


def _put(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), _MODE
    tar.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _architecture() -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise ClusterError(f"a node runs on {' or '.join(_ARCHITECTURES)}, and this machine is {machine}")
    return _ARCHITECTURES[machine]
