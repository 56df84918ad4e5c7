"""The images that the rig makes, and the names that a kubelet knows images by."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cluster.containerd import full_name
from cluster.images import write_image


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: extracted.read() for entry in tar if (extracted := tar.extractfile(entry))}


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files[descriptor["digest"].replace("sha256:", "blobs/sha256/")]
    assert descriptor["size"] == len(content)
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    return content


def test_an_image_holds_its_files_and_says_what_to_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"machine code")
    write_image(tmp_path / "a.tar", name="localhost/a:1", files={"bin/a": program}, entrypoint=["/bin/a"])

    files = read(tmp_path / "a.tar")
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "localhost/a:1"
    manifest = json.loads(blob(files, entry))
    config = json.loads(blob(files, manifest["config"]))
    assert config["config"]["Entrypoint"] == ["/bin/a"]
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(blob(files, layer))) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.mode) == ("bin/a", 0o755)


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("tool:1", "docker.io/library/tool:1"),
        ("acme/tool:1", "docker.io/acme/tool:1"),
        ("localhost/tool:1", "localhost/tool:1"),
        ("localhost:5000/tool:1", "localhost:5000/tool:1"),
        ("registry.example/tool:1", "registry.example/tool:1"),
    ],
)
def test_a_name_is_completed_as_a_kubelet_does(name: str, known_as: str) -> None:
    assert full_name(name) == known_as
