"""What the rig says of a machine on which no node can run."""

import os
import sys
from pathlib import Path

import pytest

from cluster import packages
from cluster.packages import MachineUnfit, cni_folder, missing_packages, require_machine, static_busybox

STATIC = b"\x7fELF no interpreter"
DYNAMIC = b"\x7fELF /lib64/ld-linux-x86-64.so.2"


def program(folder: Path, name: str, content: bytes = b"#!/bin/sh\n") -> None:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o755)


def test_a_bare_machine_lacks_every_package_once(tmp_path: Path) -> None:
    assert missing_packages(str(tmp_path), [tmp_path / "cni"]) == [
        *("busybox-static", "conntrack", "containerd", "containernetworking-plugins", "iproute2"),
        *("iptables", "mount", "openssl", "runc", "util-linux"),
    ]


def test_what_is_there_is_not_missing(tmp_path: Path) -> None:
    program(tmp_path, "runc")
    program(tmp_path, "busybox", STATIC)
    missing = missing_packages(str(tmp_path), [])
    assert "runc" not in missing
    assert "busybox-static" not in missing


def test_a_busybox_that_needs_libraries_is_not_enough(tmp_path: Path) -> None:
    program(tmp_path, "busybox", DYNAMIC)
    assert static_busybox(str(tmp_path)) is None


def test_plugins_are_taken_from_a_folder_that_has_all(tmp_path: Path) -> None:
    some, every = tmp_path / "some", tmp_path / "every"
    for folder, names in ((some, ["ptp"]), (every, ["ptp", "host-local", "loopback", "portmap"])):
        folder.mkdir()
        for name in names:
            program(folder, name)
    assert cni_folder([tmp_path / "none", some, every]) == every


def test_all_missing_packages_are_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing_packages", lambda: ["conntrack", "runc"])
    with pytest.raises(MachineUnfit, match=r"lacks: sudo apt-get install conntrack runc$"):
        require_machine()


def test_another_user_than_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing_packages", list)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineUnfit, match="needs root: run it with sudo, or set KUBECONFIG"):
        require_machine()


def test_another_system_than_linux_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MachineUnfit, match="on Linux only: set KUBECONFIG"):
        require_machine()
