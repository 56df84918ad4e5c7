"""`python -m chaos local|node --seed N`: strike, ask, count, and fail where a request was lost."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from chaos import report
from chaos.local import local_rig
from chaos.reference import Reference, fetched, prepare
from chaos.rig import Rig
from chaos.run import Run, run
from cluster.errors import ClusterError

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_GGUF: Final = _REPOSITORY / ".demo" / "SmolLM2-135M-Instruct.Q4_1.gguf"
_CACHE: Final = Path.home() / ".cache" / "hfmodel"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 where every request of every seed kept the promise, 1 where one broke it."""
    # So that an interrupted run leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    arguments = _parser().parse_args(argv)
    if not _GGUF.exists():
        say(f"Error: {_GGUF.relative_to(_REPOSITORY)} is missing: `make chaos` gets it")
        return 2
    # Beside the binaries' cache, where a node sees it.
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=_CACHE) as work:
        say("asking transformers for the expected answers ...")
        reference = prepare(Path(work), smollm2=fetched(_GGUF, cache=_CACHE))
        try:
            runs = [_run(arguments, reference, Path(work), seed=seed) for seed in arguments.seed]
        except ClusterError as error:
            say(f"Error: {error}")
            return 2
    print(f"{report.table(runs)}\n\n{report.faults(runs)}", flush=True)
    if arguments.report is not None:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps(report.content(runs), indent=2) + "\n")
    return 0 if all(map(report.passed, runs)) else 1


def _run(arguments: argparse.Namespace, reference: Reference, work: Path, *, seed: int) -> Run:
    folder = work / f"seed-{seed}"
    folder.mkdir()
    with _rig(arguments.where, folder, reference) as rig:
        found = asyncio.run(run(rig, seed=seed, seconds=arguments.seconds, answers=reference.answers, report=say))
        if not report.passed(found):
            say(report.explained(found))
            if arguments.logs is not None:
                arguments.logs.mkdir(parents=True, exist_ok=True)
                (arguments.logs / f"{arguments.where}-{seed}.log").write_text(rig.logs())
    say(report.table([found]))
    return found


def _rig(where: str, folder: Path, reference: Reference) -> AbstractContextManager[Rig]:
    if where == "local":
        return local_rig(folder, reference)
    from chaos.node import node_rig

    return node_rig(folder, reference, report=say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("where", choices=("local", "node"), help="`hfmodel up` here, or the chart on a node of the rig")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="the faults and questions; one run for each")
    parser.add_argument("--seconds", type=float, default=180, help="of each run; what was sent is then waited for")
    parser.add_argument("--report", type=Path, help="write the counts as JSON")
    parser.add_argument("--logs", type=Path, help="a folder for the logs of runs that fail")
    return parser


def say(line: str) -> None:
    """To people; the table alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
