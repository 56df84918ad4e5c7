"""Namespaces that a node lives in, as in a container: when their first process dies, the kernel kills every other one.

With the last process go all mounts, links, routes and packet filters made inside. Nothing of the machine is changed:
what a kubelet would write into /run, /var/lib, /var/log and the kernel's global settings lands in the node's folder.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cluster.binaries import CACHE_VARIABLE
from cluster.errors import ClusterError
from cluster.packages import SYSTEM_PATH
from cluster.processes import Server
from cluster.readiness import wait_until

_HIDDEN: Final = (Path("/run"), Path("/var/lib"), Path("/var/log"))
_START_SECONDS: Final = 20.0
_COMMAND_SECONDS: Final = 600.0
_FLAGS: Final = ("--pid", "--mount", "--net", "--ipc", "--uts")
# No proxy for the servers: they only talk to each other.
_ENVIRONMENT: Final = {"PATH": SYSTEM_PATH, "HOME": "/root"}
_OPTIONS: Final[dict[str, Any]] = {
    "env": _ENVIRONMENT,
    "capture_output": True,
    "text": True,
    "timeout": _COMMAND_SECONDS,
    "check": False,
}
# Kernel settings that a kubelet insists on and would set for the whole machine.
_SYSCTLS: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# The process that it runs as is number 1 inside: the shell, waiting, reaps what others orphan.
_INIT: Final = """\
set -eu
folder=$1
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
for name in lib log; do mount --bind "$folder/var/$name" "/var/$name"; done
cd "$folder/sysctl"
for file in */* */*/*; do
    if [ -f "$file" ] && [ -e "/proc/sys/$file" ]; then mount --bind "$file" "/proc/sys/$file"; fi
done
cd /
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo "$pid" > "$folder/init.part"
mv "$folder/init.part" "$folder/init"
sleep infinity
exit 1
"""


@dataclass(frozen=True, slots=True)
class Inside:
    """The namespaces whose first process is `init`, by its number on this machine."""

    init: int

    @classmethod
    def of(cls, folder: Path) -> "Inside":
        """The namespaces that live with `folder`; raises FileNotFoundError before they are ready."""
        return cls(int(_init_file(folder).read_text()))

    def command(self, command: Sequence[str]) -> list[str]:
        """`command` as it is started from outside."""
        return ["nsenter", "--target", str(self.init), *_FLAGS, "--", *command]

    def run(self, *command: str, given: str = "") -> str:
        """Run `command` inside to its end with `given` on its stdin; returns what it printed on stdout.

        Raises:
            ClusterError: it fails; carries what it said.
        """
        return _output(command, subprocess.run(self.command(command), input=given, **_OPTIONS))

    def run_on(self, file: Path, *command: str) -> str:
        """As `run`, with a file of this machine on stdin."""
        with file.open() as source:
            return _output(command, subprocess.run(self.command(command), stdin=source, **_OPTIONS))


def _output(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        raise ClusterError(f"{shlex.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@dataclass(slots=True)
class Namespaces:
    """Namespaces of our own, and the servers in them."""

    folder: Path
    inside: Inside
    servers: list[Server] = field(default_factory=list)

    def start(self, command: Sequence[str], *, name: str | None = None) -> Server:
        """Start a server inside, as `Server` does; it ends with the namespaces."""
        name = name or Path(command[0]).name
        server = Server(self.inside.command(command), folder=self.folder, name=name, env=_ENVIRONMENT)
        self.servers.append(server)
        return server


@contextmanager
def namespaces(folder: Path) -> Iterator[Namespaces]:
    """New namespaces for the length of the block. Servers in them are killed with it, or with the calling thread.

    Args:
        folder: exists, is visible inside and empty of `var`, `sysctl` and `init`.

    Raises:
        ClusterError: the machine does not allow them.
    """
    _prepare(folder)
    script = ["sh", "-c", _INIT, "init", str(folder)]
    command = ["unshare", *_FLAGS, "--fork", "--kill-child", "--propagation", "private", "--", *script]
    holder = Server(command, folder=folder, name="namespaces", env=_ENVIRONMENT)
    found: Namespaces | None = None
    try:
        wait_until(
            "the node's namespaces",
            lambda: None if _init_file(folder).exists() else "its first process is not done",
            servers=[holder],
            deadline=time.monotonic() + _START_SECONDS,
        )
        found = Namespaces(folder, Inside.of(folder), [holder])
        yield found
    finally:
        _end(holder, found)


def _end(holder: Server, found: Namespaces | None) -> None:
    """Returns when every process inside is gone: the first one ends after all others."""
    if found is None:
        holder.stop(grace=0)
        return
    with suppress(ProcessLookupError):
        os.kill(found.inside.init, signal.SIGKILL)
    for server in found.servers:
        server.stop()


def require_visible(*paths: Path) -> None:
    """Raise ClusterError if one of `paths` cannot be seen inside."""
    for path in paths:
        for hidden in _HIDDEN:
            if path.resolve().is_relative_to(hidden):
                raise ClusterError(f"a node cannot use {path}, below {hidden}: set {CACHE_VARIABLE} to another folder")


def _prepare(folder: Path) -> None:
    for name in ("var/lib", "var/log"):
        (folder / name).mkdir(parents=True)
    for name, value in _SYSCTLS.items():
        file = folder / "sysctl" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")


def _init_file(folder: Path) -> Path:
    return folder / "init"
