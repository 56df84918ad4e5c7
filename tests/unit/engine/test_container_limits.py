import os
from pathlib import Path

import pytest

from hfmodel_runtime.engine.cpus import available_cpus
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


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 8192, id="no-cgroup"),
        pytest.param({"memory.max": "max", "memory.current": "5000"}, 8192, id="no-limit"),
        pytest.param({"memory.max": "6000", "memory.current": "5000"}, 1000, id="limit"),
        pytest.param(
            {"memory.max": "6000", "memory.current": "5000", "memory.stat": "anon 1\ninactive_file 500\n"},
            1500,
            id="page-cache-can-be-given-up",
        ),
        pytest.param({"memory.max": "99999", "memory.current": "0"}, 8192, id="limit-above-the-machine"),
        pytest.param({"memory.max": "6000", "memory.current": "7000"}, 0, id="beyond-the-limit"),
    ],
)
def test_memory_is_what_node_and_cgroup_leave(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:       8 kB\n")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert available_host_memory(root=tmp_path, meminfo=tmp_path / "meminfo") == expected
