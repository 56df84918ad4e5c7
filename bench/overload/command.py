"""The command line of the overload bench."""

import argparse
from pathlib import Path

from bench import bars, results
from bench.overload import report
from bench.overload.measure import measure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--model-dir", type=Path, required=True, help="a model directory, as `fetch` makes it")
    parser.add_argument("--threads", type=int, default=2, help="of the runtime")
    parser.add_argument("--max-running", type=int, default=8, help="of the runtime")
    parser.add_argument("--max-queued", type=int, default=32, help="of the runtime")
    parser.add_argument("--seconds", type=float, default=20, help="that newcomers come, in each leg")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    outcome = measure(
        model_dir=arguments.model_dir,
        threads=arguments.threads,
        running_most=arguments.max_running,
        queued_most=arguments.max_queued,
        seconds=arguments.seconds,
    )
    print(results.table(report.HEADER, report.rows(outcome)))
    results.write(
        arguments.out,
        "overload",
        report.content(outcome),
        packages=("hfmodel", "torch", "transformers", "uvicorn"),
        charts={"overload": bars.draw(report.chart(outcome), title="At ten times the capacity")},
    )
