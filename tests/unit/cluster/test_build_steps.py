"""The build goes on where it stopped, runs once at a time, and does nothing when all is there."""

import fcntl
import threading
from pathlib import Path

import pytest

from cluster.build import KUBERNETES_COMMANDS, build
from cluster.commands import NicedRunner
from cluster.errors import ClusterError
from cluster.steps import Step, run_steps


class Work:
    """Steps that note that they were taken; one of them may fail."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.broken: str | None = None

    def steps(self) -> list[Step]:
        return [Step(name, f"doing {name}", lambda name=name: self._take(name)) for name in ("a", "b", "c")]  # type: ignore[misc]

    def _take(self, name: str) -> None:
        if name == self.broken:
            raise ClusterError("broken")
        self.taken.append(name)


def test_steps_are_taken_in_order_and_reported(tmp_path: Path) -> None:
    work, lines = Work(), list[str]()
    run_steps(work.steps(), folder=tmp_path / "steps", report=lines.append)
    assert work.taken == ["a", "b", "c"]
    assert lines == ["[1/3] doing a", "[2/3] doing b", "[3/3] doing c"]


def test_a_second_run_goes_on_with_the_step_that_failed(tmp_path: Path) -> None:
    work = Work()
    work.broken = "b"
    with pytest.raises(ClusterError):
        run_steps(work.steps(), folder=tmp_path, report=lambda _: None)
    work.broken = None
    run_steps(work.steps(), folder=tmp_path, report=lambda _: None)
    assert work.taken == ["a", "b", "c"]


@pytest.fixture
def full_cache(tmp_path: Path) -> Path:
    for name in ("etcd", *KUBERNETES_COMMANDS):
        (tmp_path / name).touch()
    return tmp_path


def test_a_full_cache_builds_nothing_and_keeps_no_work(full_cache: Path) -> None:
    (full_cache / "build" / "gopath").mkdir(parents=True)
    lines: list[str] = []
    assert build(report=lines.append, cache=full_cache) == full_cache
    assert lines == []
    assert not (full_cache / "build").exists()


def test_a_second_build_waits_for_the_first(full_cache: Path) -> None:
    waiting = threading.Event()
    with (full_cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines: list[str] = []

        def report(line: str) -> None:
            lines.append(line)
            waiting.set()

        second = threading.Thread(target=build, kwargs={"report": report, "cache": full_cache})
        second.start()
        assert waiting.wait(10)
        assert second.is_alive()
    second.join(10)
    assert not second.is_alive()
    assert lines == ["another build is running; waiting for it"]


def test_an_unknown_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no such command: kubeadm"):
        build(["kubeadm"], report=lambda _: None, cache=tmp_path)


def test_a_failing_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    run = NicedRunner(tmp_path / "build.log")
    with pytest.raises(ClusterError, match=r"(?s)sh failed with exit code 3 .*build\.log.*no space left"):
        run(["sh", "-c", "echo no space left >&2; exit 3"])


def test_a_command_runs_at_the_lowest_priority(tmp_path: Path) -> None:
    run = NicedRunner(tmp_path / "build.log")
    assert run(["nice"], env={"LC_ALL": "C"}) == "19\n"
