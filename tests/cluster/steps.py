"""Work in steps that survives an interruption: what is done stays done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work; `name` also names its stamp, so two steps of one folder never share it."""

    name: str
    what: str  # for the progress line
    act: Callable[[], object]


def run_steps(steps: Sequence[Step], *, folder: Path, report: Report) -> None:
    """Take the steps in order, but those that an earlier run left a stamp of in `folder`.

    An exception of a step ends the run; the same call again goes on with that step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(steps, start=1):
        stamp = folder / f"{step.name}.done"
        if stamp.exists():
            continue
        report(f"[{number}/{len(steps)}] {step.what}")
        step.act()
        stamp.touch()
