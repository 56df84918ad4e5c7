"""What every bench leaves behind: a table on the terminal, JSON with what it takes to run it again, a chart."""

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from hfmodel_runtime.allocator import installed

_FOLDER = Path(__file__).parent / "results"
# Paths of one machine say nothing on another.
_OF_THIS_MACHINE = frozenset({"--out", "--model-dir", "--url"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every bench."""
    parser.add_argument("--out", type=Path, default=_FOLDER, help="folder of the results")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---" for _ in header], *rows])


def write(
    folder: Path,
    name: str,
    content: Mapping[str, Any],
    *,
    packages: Sequence[str],
    others: Mapping[str, str] | None = None,
    charts: Mapping[str, str] | None = None,
) -> None:
    """Write `<name>.json` and each chart.

    Args:
        packages: Python packages whose versions matter.
        others: versions of what is no Python package, by name.
        charts: SVG documents by file name without its end.
    """
    document = {
        "command": command(sys.argv[1:]),
        "machine": {
            "processor": _processor(),
            "cpus": psutil.cpu_count(),
            "load": psutil.getloadavg(),
            "tcmalloc": installed() is not None,  # runtimes take it where it is
        },
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
            **(others or {}),
        },
        **content,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    for chart, svg in (charts or {}).items():
        (folder / f"{chart}.svg").write_text(svg)


def command(arguments: Sequence[str]) -> str:
    """The command line that was given, without the paths of this machine."""
    kept: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument in _OF_THIS_MACHINE:
            next(left, None)
        elif argument.partition("=")[0] not in _OF_THIS_MACHINE:
            kept.append(argument)
    return shlex.join(["python", "-m", "bench", *kept])


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:  # noqa: PTH123 - not a file of ours
        names = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return names[0] if names else platform.processor()
