"""Servers that the rig starts: they log, they end, and they never outlive it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.processes import ReservedPort, Server
from support.process_exit import wait_for_exit

ONE_LINE_THEN_FAIL = ["sh", "-c", "echo cannot open the data folder >&2; exit 7"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo armed; exec sleep 600"]
HOLDER = """
import sys, time
from pathlib import Path
from cluster.processes import Server
print(Server(["sleep", "600"], folder=Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


def test_a_server_that_exits_tells_why(tmp_path: Path) -> None:
    server = Server(ONE_LINE_THEN_FAIL, folder=tmp_path)
    assert wait_for_exit(server.pid)
    with pytest.raises(ClusterError, match=r"sh exited with code 7:\ncannot open the data folder"):
        server.check()
    server.stop()


def test_a_running_server_has_nothing_to_tell_and_stops(tmp_path: Path) -> None:
    server = Server(["sleep", "600"], folder=tmp_path)
    server.check()
    server.stop()
    server.stop()
    with pytest.raises(ClusterError, match="sleep exited with code -15"):
        server.check()


def test_a_server_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    server = Server(STUBBORN, folder=tmp_path)
    with server.log.open() as log:
        while not log.read():
            server.check()
    server.stop(grace=0)
    with pytest.raises(ClusterError, match="sh exited with code -9"):
        server.check()


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        server = int(holder.stdout.readline())
        holder.send_signal(signal.SIGKILL)
    assert wait_for_exit(server)


def test_a_program_that_does_not_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"kube-apiserver does not start: No such file"):
        Server([str(tmp_path / "kube-apiserver")], folder=tmp_path)


def test_a_reserved_port_is_for_servers_that_are_told_it_alone() -> None:
    with ReservedPort("127.0.0.1") as port, socket.socket() as stranger:
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port.number))
        with socket.create_server(("127.0.0.1", port.number)) as server:  # sets SO_REUSEADDR, as Go does
            assert server.getsockname()[1] == port.number
