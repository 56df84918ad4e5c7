"""The command line of the operator's bench."""

import argparse
import asyncio
import importlib
import sys
from pathlib import Path

from bench import results

_TESTS = Path(__file__).parents[2] / "tests"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--models", type=int, nargs="+", default=[100, 300, 1000], help="how many HFModels, in turn")
    parser.add_argument("--wants", type=int, default=50, help="models woken one by one, and again at once")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long it is left alone: a resync is 60 s")
    parser.add_argument("--prefetch", action="store_true", help="with a fetch Job for each model, which nobody runs")
    parser.add_argument("--name", default="operator_scale", help="of the results' files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    if min(arguments.models) < 1 or arguments.wants < 1:
        raise SystemExit("--models and --wants count from 1")
    # The control plane is the tests' own.
    sys.path.insert(0, str(_TESTS))
    measuring = importlib.import_module("bench.operator_scale.measure")
    report = importlib.import_module("bench.operator_scale.report")
    errors = importlib.import_module("cluster.errors")
    figures = []
    for models in arguments.models:
        course = measuring.Course(models, arguments.wants, arguments.idle_seconds, arguments.prefetch)
        try:
            figures.append(asyncio.run(measuring.measure(course)))
        except errors.ClusterError as error:
            raise SystemExit(f"no API server to measure on: {error}") from error
        print(f"{models} models: settled in {figures[-1].settle_seconds:.1f} s", flush=True)
    print("\n" + report.tables(figures))
    results.write(
        arguments.out,
        arguments.name,
        report.content(figures),
        packages=("hfmodel", "kopf", "kubernetes", "aiohttp"),
        others={"kube-apiserver": importlib.import_module("cluster.binaries").KUBERNETES_VERSION},
        charts={arguments.name: report.chart(figures)},
    )
