import os
from pathlib import Path

import pytest

from hfmodel_runtime.engine.cpus import available_cpus
from hfmodel_runtime.engine.hostmemory import Room, host_room
from hfmodel_runtime.engine.memory import available_host_memory

_ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"cpu.max": "max 100000"}, _ALLOWED, id="no-quota"),
        pytest.param({"cpu.max": "100000 100000"}, 1, id="one-cpu"),
        pytest.param({"cpu.max": "50000 100000"}, 1, id="half-a-cpu-is-one-thread"),
        pytest.param({"cpu.max": "99900000 100000"}, _ALLOWED, id="quota-above-the-machine"),
        pytest.param({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1, id="cgroup-v1"),
        pytest.param({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, _ALLOWED, id="v1-no-quota"),
        pytest.param({"cpu.max": "rubbish"}, _ALLOWED, id="unreadable"),
        pytest.param({}, _ALLOWED, id="no-cgroup"),
    ],
)
def test_threads_follow_the_cpu_quota(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cpus(tmp_path) == expected


_V2 = {"proc/self/cgroup": "0::/\n"}
_V1 = {"proc/self/cgroup": "5:cpu:/\n4:memory:/pod/c1\n"}


def _v1(directory: str, *, limit: int, used: int) -> dict[str, str]:
    return {f"{directory}/memory.limit_in_bytes": str(limit), f"{directory}/memory.usage_in_bytes": str(used)}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 8192, id="no-cgroup"),
        pytest.param(_V2 | {"memory.max": "max", "memory.current": "5000"}, 8192, id="no-limit"),
        pytest.param(_V2 | {"memory.max": "6000", "memory.current": "5000"}, 1000, id="limit"),
        pytest.param({"memory.max": "6000", "memory.current": "5000"}, 1000, id="limit-and-no-word-of-cgroups"),
        pytest.param(
            _V2 | {"memory.max": "6000", "memory.current": "5000", "memory.stat": "anon 1\ninactive_file 500\n"},
            1500,
            id="page-cache-can-be-given-up",
        ),
        pytest.param(
            _V2 | {"memory.max": "6000", "memory.current": "5000", "memory.stat": "active_file 500\n"},
            1250,
            id="half-of-the-page-cache-in-use",
        ),
        pytest.param(_V2 | {"memory.max": "99999", "memory.current": "0"}, 8192, id="limit-above-the-machine"),
        pytest.param(_V2 | {"memory.max": "6000", "memory.current": "7000"}, 0, id="beyond-the-limit"),
        pytest.param(
            {"proc/self/cgroup": "0::/a/b\n", "a/b/memory.max": "max", "a/memory.max": "4000"}
            | {"a/b/memory.current": "1", "a/memory.current": "1000"},
            3000,
            id="limit-of-a-group-around",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/../elsewhere\n", "memory.max": "6000", "memory.current": "0"},
            6000,
            id="path-of-another-namespace",
        ),
        pytest.param(_V1 | _v1("memory/pod/c1", limit=6000, used=4000), 2000, id="v1-limit"),
        pytest.param(_V1 | _v1("memory", limit=6000, used=4000), 2000, id="v1-in-a-container"),
        pytest.param(_V1 | _v1("memory", limit=2**63 - 4096, used=4000), 8192, id="v1-no-limit"),
        pytest.param(
            _V1 | _v1("memory", limit=6000, used=4000) | {"memory/memory.stat": "total_inactive_file 700\n"},
            2700,
            id="v1-page-cache",
        ),
    ],
)
def test_memory_is_what_node_and_cgroups_leave(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert _room(tmp_path, files).free == expected


def _room(root: Path, files: dict[str, str]) -> Room:
    for name, content in {"proc/meminfo": "MemTotal: 99 kB\nMemAvailable:       8 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return host_room(root=root, proc=root / "proc")


@pytest.mark.parametrize(
    ("files", "shared"),
    [
        pytest.param({}, True, id="the-node-has-other-processes"),
        pytest.param({"g/cgroup.procs": f"{os.getpid()}\n"}, False, id="a-limit-of-its-own"),
        pytest.param({"g/cgroup.procs": f"{os.getpid()}\n1\n"}, True, id="another-process-under-the-limit"),
        pytest.param({"g/sidecar/cgroup.procs": "1\n"}, True, id="another-group-under-the-limit"),
    ],
)
def test_a_process_plans_with_half_of_what_others_may_take_too(
    files: dict[str, str], shared: bool, tmp_path: Path
) -> None:
    limit = {"g/memory.max": "6000", "g/memory.current": "2000"} if files else {}
    room = _room(tmp_path, {"proc/self/cgroup": "0::/g\n", **limit, **files})
    assert room.shared is shared
    assert available_host_memory(room) == (room.free // 2 if shared else room.free)


def test_a_limit_is_told_from_the_machine(tmp_path: Path) -> None:
    assert not _room(tmp_path, {}).limited
    assert _room(tmp_path, _V2 | {"memory.max": "6000", "memory.current": "5000"}).limited
