"""The cluster that stays up: who holds it, and that nobody else is taken for its holder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.session import CONTROL_PLANE, Session

HOLDER = """
import fcntl, sys
with open(sys.argv[1], "wb") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_nobody_holds_a_session_that_never_was(session: Session) -> None:
    assert session.holder() is None
    assert session.stop() is False


def test_a_lock_file_that_nobody_locks_has_no_holder(session: Session) -> None:
    (session.folder / "lock").write_text(str(os.getpid()))
    assert session.holder() is None


def test_the_holder_is_the_process_with_the_lock(session: Session) -> None:
    lock = session.folder / "lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert session.holder() == holder.pid
        with pytest.raises(ClusterError, match="up already: KUBECONFIG="):
            session.hold(CONTROL_PLANE)
        assert session.stop() is True
    assert session.holder() is None


def test_an_image_is_for_a_node_that_is_up(session: Session) -> None:
    with pytest.raises(ClusterError, match="no cluster with a node is up: start one by"):
        session.load(session.folder / "image.tar")
