"""Why a runtime process ended, in words a person can act on."""

import signal
from dataclasses import dataclass
from pathlib import Path

from hfmodel_api.status import Reason
from hfmodel_cli.local.processes import Exit
from hfmodel_operator.last_word import parse_failure
from hfmodel_operator.last_word import pod_failure as pod_failure
from hfmodel_operator.observed import PodFailure

_TAIL_BYTES = 4096
_TAIL_LINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is left of a process that ended."""

    exit: Exit
    termination_log: Path
    log: Path
    oom_kills_before: int  # `oom_kills()` when it was started
    oom_kills_after: int


def explain(evidence: Evidence) -> PodFailure:
    """The runtime's own word if it left one; else what the way it ended and its log tell."""
    if (said := _said(evidence.termination_log)) is not None:
        return said
    # Only the kernel's count tells its OOM killer from anybody else's kill -9.
    if evidence.exit.signal == signal.SIGKILL and evidence.oom_kills_after > evidence.oom_kills_before:
        message = "the kernel ended it because memory ran out: use a smaller model or dtype, or unload another model"
        return PodFailure(Reason.OUT_OF_MEMORY, message)
    said_last = tail(evidence.log)
    message = f"the runtime {evidence.exit}"
    return PodFailure(Reason.CRASH_LOOP, f"{message}. {said_last}" if said_last else message)


def _said(termination_log: Path) -> PodFailure | None:
    try:
        return parse_failure(termination_log.read_text("utf-8", errors="replace"))
    except OSError:
        return None


def tail(log: Path, *, start: int = 0) -> str:
    """The last few lines of `log` written after byte `start`, on one line; empty if there are none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_TAIL_LINES:])


def oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes the kernel has ended for want of memory since it started; 0 where it does not tell."""
    try:
        for line in vmstat.read_text("ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0
