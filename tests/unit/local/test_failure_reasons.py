"""What a process that ended left behind, as a reason and a sentence."""

import signal
from pathlib import Path

import pytest

from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure
from hfmodel_cli.local.failures import Evidence, explain, oom_kills, tail
from hfmodel_cli.local.processes import Exit
from hfmodel_operator.observed import PodFailure

SAID = Failure(reason=Reason.CONFIG_INVALID, message="config.json is missing", retryable=False).model_dump_json()


def crash(message: str) -> PodFailure:
    return PodFailure(Reason.CRASH_LOOP, f"the runtime {message}")


INVALID = PodFailure(Reason.CONFIG_INVALID, "config.json is missing", permanent=True)


@pytest.mark.parametrize(
    ("ended", "termination", "log", "expected"),
    [
        pytest.param(Exit(1), f"noise\n{SAID}\n", "log", INVALID, id="its-own-word"),
        pytest.param(Exit(1), "not JSON", "a\nb", crash("ended with exit code 1. a | b"), id="garbled-word"),
        pytest.param(Exit(None, signal.SIGSEGV), None, "", crash("was ended by SIGSEGV"), id="signal"),
        pytest.param(Exit(None, signal.SIGKILL), None, "", crash("was ended by SIGKILL"), id="kill-9-by-somebody"),
        pytest.param(Exit(0), None, "bye", crash("ended with exit code 0. bye"), id="unasked-success"),
    ],
)
def test_reasons(tmp_path: Path, ended: Exit, termination: str | None, log: str, expected: PodFailure) -> None:
    assert explain(evidence(tmp_path, ended, termination, log, 0)) == expected


def test_a_kill_is_for_want_of_memory_only_if_the_kernel_counted_one(tmp_path: Path) -> None:
    assert explain(evidence(tmp_path, Exit(None, 9), None, "", 1)).reason == Reason.OUT_OF_MEMORY
    assert explain(evidence(tmp_path, Exit(1), None, "", 1)).reason == Reason.CRASH_LOOP


def evidence(folder: Path, ended: Exit, termination: str | None, log: str, oom_kills_after: int) -> Evidence:
    (folder / "log").write_text(log)
    if termination is not None:
        (folder / "termination").write_text(termination)
    return Evidence(
        exit=ended,
        termination_log=folder / "termination",
        log=folder / "log",
        oom_kills_before=0,
        oom_kills_after=oom_kills_after,
    )


def test_the_tail_of_a_log_is_short_and_starts_where_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(log) == " | ".join(f"line {number}" for number in range(9995, 10_000))
    assert tail(log, start=log.stat().st_size - len("line 9999\n")) == "line 9999"
    assert tail(tmp_path / "absent") == ""


def test_the_kernels_count_is_zero_where_it_does_not_tell(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgfault 12\noom_kill 3\n")
    assert oom_kills(vmstat) == 3
    vmstat.write_text("pgfault 12\n")
    assert oom_kills(vmstat) == oom_kills(tmp_path / "absent") == 0
