"""A control plane that cannot start says why and leaves nothing behind."""

import tempfile
from pathlib import Path

import pytest

from cluster.binaries import BinariesMissing
from cluster.controlplane import control_plane
from cluster.errors import ClusterError

RUNS_BUT_NEVER_ANSWERS = "#!/bin/sh\necho waiting for etcd\nexec sleep 600\n"
EXITS = "#!/bin/sh\necho 'unknown flag: --etcd-servers' >&2\nexit 1\n"


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def install(assets: Path, **scripts: str) -> None:
    for name, text in scripts.items():
        path = assets / name.replace("_", "-")
        path.write_text(text)
        path.chmod(0o755)


def test_a_server_that_exits_ends_the_start_with_its_last_words(assets: Path, temporary: Path) -> None:
    install(assets, etcd=RUNS_BUT_NEVER_ANSWERS, kube_apiserver=EXITS)
    with (
        pytest.raises(ClusterError, match=r"kube-apiserver exited with code 1:\nunknown flag: --etcd-servers"),
        control_plane(),
    ):
        pytest.fail("started")
    assert list(temporary.iterdir()) == []


def test_a_server_that_is_never_ready_ends_the_start_with_both_logs(assets: Path, temporary: Path) -> None:
    install(assets, etcd=RUNS_BUT_NEVER_ANSWERS, kube_apiserver=RUNS_BUT_NEVER_ANSWERS)
    expected = r"(?s)not ready after 0\.1 s: .*--- etcd\nwaiting for etcd\n--- kube-apiserver\n"
    with pytest.raises(ClusterError, match=expected), control_plane(start_timeout=0.1):
        pytest.fail("started")
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("assets")
def test_missing_binaries_start_nothing(temporary: Path) -> None:
    with pytest.raises(BinariesMissing), control_plane():
        pytest.fail("started")
    assert list(temporary.iterdir()) == []
