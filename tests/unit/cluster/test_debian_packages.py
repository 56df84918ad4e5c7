"""Which mirror the build takes, and what it makes of what apt has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cluster.debian import Debian
from cluster.errors import ClusterError

DEBIAN = "Debian|bookworm|bookworm|main|http://mirror.example/debian/"
UPDATES = "Debian|bookworm|bookworm-updates|main|http://mirror.example/debian/"
SECURITY = "Debian|bookworm-security|bookworm-security|main|http://mirror.example/debian-security/"
UBUNTU = "Ubuntu|noble|noble|main|http://mirror.example/ubuntu/"
THIRD_PARTY = "Acme|bookworm|bookworm|main|http://acme.example/apt/"
NOT_READ_YET = "$(ORIGIN)|$(CODENAME)|bookworm|main|http://mirror.example/debian/"
THIRD_PARTY_NOT_READ_YET = "$(ORIGIN)|$(CODENAME)|bookworm|main|http://acme.example/apt/"


class ScriptedApt:
    """A Runner whose apt knows these targets, and downloads these files."""

    def __init__(
        self, targets: Sequence[str] = (), *, unread: Sequence[str] = (), downloads: Sequence[str] = ()
    ) -> None:
        self.targets, self.unread, self.downloads = targets, unread, downloads
        self.commands: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        self.commands.append(command)
        if "indextargets" in command:
            return "\n".join(self.unread if "--no-release-info" in command else self.targets)
        if cwd is not None:
            for name in self.downloads:
                (cwd / name).touch()
        return ""


def debian(root: Path, apt: ScriptedApt) -> Debian:
    return Debian(root=root, release="bookworm", run=apt)


@pytest.mark.parametrize(
    "apt",
    [
        pytest.param(ScriptedApt([SECURITY, THIRD_PARTY, DEBIAN]), id="among others"),
        pytest.param(ScriptedApt([UPDATES]), id="updates of the same release"),
        pytest.param(ScriptedApt([], unread=[THIRD_PARTY_NOT_READ_YET, NOT_READ_YET]), id="before apt-get update"),
    ],
)
def test_the_machines_own_mirror_of_debian_is_used(tmp_path: Path, apt: ScriptedApt) -> None:
    debian(tmp_path, apt).update()
    lines = (tmp_path / "sources.list").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["deb", "deb-src"]
    assert all(line.endswith("http://mirror.example/debian/ bookworm main") for line in lines)


def test_the_systems_apt_is_left_alone(tmp_path: Path) -> None:
    apt = ScriptedApt([DEBIAN])
    debian(tmp_path, apt).update()
    update = apt.commands[-1]
    assert update[-1] == "update"
    for option in ("Dir::Etc::sourcelist", "Dir::State::lists", "Dir::Cache"):
        assert any(argument.startswith(f"{option}={tmp_path}") for argument in update)


@pytest.mark.parametrize("targets", [[], [UBUNTU, THIRD_PARTY]], ids=["no apt sources", "other distributions"])
def test_no_mirror_of_the_release_is_one_sentence(tmp_path: Path, targets: list[str]) -> None:
    with pytest.raises(ClusterError, match=r"no mirror of Debian bookworm: set KUBEBUILDER_ASSETS"):
        debian(tmp_path, ScriptedApt(targets)).update()


@pytest.mark.parametrize(
    ("tarball", "found"),
    [("kubernetes_1.20.5+really1.20.2.orig.tar.gz", True), ("kubernetes_1.33.4+ds.orig.tar.xz", False)],
)
def test_only_the_expected_version_of_a_source_is_unpacked(tmp_path: Path, tarball: str, found: bool) -> None:
    apt = ScriptedApt(downloads=[tarball])
    if not found:
        with pytest.raises(ClusterError, match=r"no kubernetes 1\.20\.2 any more"):
            debian(tmp_path, apt).unpack_source("kubernetes", version="1.20.2", into=tmp_path / "tree")
        return
    debian(tmp_path, apt).unpack_source("kubernetes", version="1.20.2", into=tmp_path / "tree")
    assert apt.commands[-1][0] == "tar"
    assert str(tmp_path / "sources" / tarball) in apt.commands[-1]
