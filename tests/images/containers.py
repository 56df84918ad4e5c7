"""Containers of an image as Kubernetes runs ours: the Restricted Pod Security Standard, a read-only root.

Only the network is the machine's own, so that a test can ask what listens.
"""

import json
import secrets
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from cluster.commands import tool
from cluster.errors import ClusterError
from cluster.steps import Report
from images.build import build

_NAMESPACES: Final = ("pid", "mount", "ipc", "uts")
_MOUNTS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("/proc", "proc", ()),
    ("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/tmp", "tmpfs", ("nosuid", "nodev", "mode=1777")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of this machine at `target` in the container."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """How containers of one image are started.

    Args:
        archive: that the image came out of.
        root: the image's files; nothing is written there.
        config: of the image, as Docker has it (`Env`, `Entrypoint`, `Cmd`, `User`, `WorkingDir`).
    """

    archive: Path
    root: Path
    config: Mapping[str, Any]

    def run(self, *command: str, env: Mapping[str, str] | None = None, mounts: Sequence[Mount] = ()) -> str:
        """What `command`, or the image's own, prints to both outputs; it has to end with 0.

        Raises:
            subprocess.CalledProcessError: it does not.
        """
        with self.started(*command, env=env, mounts=mounts) as process:
            output, _ = process.communicate()
        if process.returncode:
            error = subprocess.CalledProcessError(process.returncode, command, output)
            error.add_note(output)
            raise error
        return output

    @contextmanager
    def started(
        self, *command: str, env: Mapping[str, str] | None = None, mounts: Sequence[Mount] = ()
    ) -> Iterator["subprocess.Popen[str]"]:
        """A container that runs `command`, or what the image does by itself, as its process 1; killed at the end.

        Signals to the process that this gives reach process 1; both outputs are its `stdout`.
        """
        runtime, name = tool("runc", package="runc"), f"hfmodel-{secrets.token_hex(4)}"
        with tempfile.TemporaryDirectory(prefix="hfmodel-bundle-") as bundle:
            spec = self._spec(
                command or (*self.entrypoint, *(self.config.get("Cmd") or ())), env=env or {}, mounts=mounts
            )
            Path(bundle, "config.json").write_text(json.dumps(spec))
            process = subprocess.Popen(
                [runtime, "run", "--bundle", bundle, name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                with process:
                    try:
                        yield process
                    finally:
                        subprocess.run([runtime, "delete", "--force", name], capture_output=True, check=False)
            finally:
                process.wait()

    @property
    def entrypoint(self) -> tuple[str, ...]:
        return tuple(self.config.get("Entrypoint") or ())

    def _spec(self, command: Sequence[str], *, env: Mapping[str, str], mounts: Sequence[Mount]) -> dict[str, Any]:
        user, _, group = self.config["User"].partition(":")
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.root), "readonly": True},
            "process": {
                "args": list(command),
                "env": [*self.config["Env"], *(f"{name}={value}" for name, value in env.items())],
                "cwd": self.config["WorkingDir"],
                "user": {"uid": int(user), "gid": int(group)},
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "mounts": [*map(_mount_of_kernel, _MOUNTS), *map(_bind_mount, mounts)],
            "linux": {"namespaces": [{"type": kind} for kind in _NAMESPACES]},
        }


@contextmanager
def container_of(name: str, *, report: Report) -> Iterator[Container]:
    """Containers of one of IMAGES, out of the archive that its build writes.

    Raises:
        ClusterError: the image cannot be built here.
    """
    archive = build(name, report=report)
    with tempfile.TemporaryDirectory(prefix="hfmodel-root-") as root:
        Path(root).chmod(0o755)
        yield Container(archive=archive, root=Path(root), config=unpack(archive, into=Path(root)))


def unpack(archive: Path, *, into: Path) -> Mapping[str, Any]:
    """Unpack the layers of an image without deletions, such as ours; returns its config."""
    with tarfile.open(archive) as image:
        (manifest,) = json.load(_member(image, "manifest.json"))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=_member(image, layer)) as files:
                files.extractall(into, numeric_owner=True, filter="fully_trusted")  # noqa: S202 - we made it
        config: Mapping[str, Any] = json.load(_member(image, manifest["Config"]))["config"]
    return config


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise ClusterError(f"{archive.name!r} has no file {name}: it is not an archive of an image")
    return file


def _mount_of_kernel(mount: tuple[str, str, tuple[str, ...]]) -> dict[str, Any]:
    target, kind, options = mount
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind_mount(mount: Mount) -> dict[str, Any]:
    access = "ro" if mount.read_only else "rw"
    return {"destination": mount.target, "type": "bind", "source": str(mount.source), "options": ["bind", access]}
