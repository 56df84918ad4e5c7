"""The groups that a node's pods live in: made where a kubelet wants them, gone afterwards, swept if left."""

from pathlib import Path

import pytest

from cluster.cgroups import cgroup_root, groups
from cluster.errors import ClusterError
from cluster.leftovers import sweep
from cluster.ranges import claimed

NAME = "hfm-1-2"
HIERARCHIES = ("blkio", "cpu", "cpuacct", "cpuset", "memory", "pids")


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    mount = tmp_path / "cgroup"
    for name in HIERARCHIES:
        (mount / name).mkdir(parents=True)
        (mount / name / "cgroup.procs").touch()
    return mount


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    mount = tmp_path / "cgroup"
    mount.mkdir()
    (mount / "cgroup.controllers").touch()
    return mount


def test_v1_has_a_group_in_every_hierarchy(v1: Path) -> None:
    with cgroup_root(NAME, mount=v1) as path:
        assert path == f"/{NAME}"
        assert {group.parent.name for group in groups(NAME, mount=v1)} == set(HIERARCHIES)
    assert groups(NAME, mount=v1) == []


def test_v2_has_one_group(v2: Path) -> None:
    with cgroup_root(NAME, mount=v2):
        assert groups(NAME, mount=v2) == [v2 / NAME]
    assert groups(NAME, mount=v2) == []


def test_groups_that_were_made_below_go_too(v2: Path) -> None:
    with cgroup_root(NAME, mount=v2):
        (v2 / NAME / "kubepods" / "burstable").mkdir(parents=True)
    assert groups(NAME, mount=v2) == []


def test_a_hierarchy_that_is_missing_is_named(v1: Path) -> None:
    for name in ("memory", "pids"):
        (v1 / name / "cgroup.procs").unlink()
        (v1 / name).rmdir()
    with (
        pytest.raises(ClusterError, match=r"needs control groups: .*cgroup lacks memory, pids"),
        cgroup_root(NAME, mount=v1),
    ):
        pytest.fail("made")


def test_what_a_killed_node_left_is_swept(tmp_path: Path, v2: Path) -> None:
    (v2 / NAME / "kubepods").mkdir(parents=True)
    (tmp_path / "nodes" / f"{NAME}-abc123" / "disks").mkdir(parents=True)
    sweep(tmp_path / "nodes", mount=v2)
    assert list((tmp_path / "nodes").iterdir()) == []
    assert groups(NAME, mount=v2) == []


def test_what_a_living_node_has_is_left_alone(tmp_path: Path, v2: Path) -> None:
    folder = tmp_path / "nodes" / f"{NAME}-abc123"
    folder.mkdir(parents=True)
    (v2 / NAME).mkdir()
    with claimed(NAME) as ours:
        assert ours
        sweep(tmp_path / "nodes", mount=v2)
    assert folder.exists()
    assert groups(NAME, mount=v2) == [v2 / NAME]
