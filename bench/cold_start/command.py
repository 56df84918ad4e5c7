"""The command line of the cold start's bench."""

import argparse
import importlib
import sys
from pathlib import Path

from bench import results
from bench.cold_start import chart, report
from bench.cold_start.started import ours, plain
from bench.cold_start.wakes import Wakes, local_wakes, wakes

_TESTS = Path(__file__).parents[2] / "tests"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--model-dir", type=Path, required=True, help="a model directory, as `fetch` makes it")
    parser.add_argument("--model-name", default="SmolLM2-135M-Instruct", help="what the results call it")
    parser.add_argument("--pairs", type=int, default=3, help="starts of a process beside starts of the baseline")
    parser.add_argument("--wakes", type=int, default=20, help="of `hfmodel up`; 0 for none")
    parser.add_argument("--node", action="store_true", help="wake it on a node of the tests' rig too (Debian, root)")
    parser.add_argument("--url", help="the router of a cluster whose model is woken too")
    parser.add_argument("--model-id", default="smollm2", help="that model")
    parser.add_argument("--cluster-wakes", type=int, default=7, help="of that model")
    parser.add_argument("--name", default="cold_start", help="of the results' files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    model_dir = arguments.model_dir
    if not (model_dir / "config.json").is_file():
        raise SystemExit(f"{model_dir} is no model directory; `hfmodel-runtime fetch` makes one")
    if not arguments.url and not arguments.node:
        print("no cluster is measured: give --node, or --url with the router of one")
    plain(model_dir)  # so that all files are in the page cache
    pairs = tuple((ours(model_dir), plain(model_dir)) for _ in range(arguments.pairs))
    measured = report.Measured(
        pairs,
        local_wakes(model_dir, count=arguments.wakes) if arguments.wakes else None,
        _cluster_wakes(arguments),
    )
    print("\n" + results.table(report.HEADER, report.rows(measured)))
    print("\n" + "\n".join(report.savings(measured)))
    results.write(
        arguments.out,
        arguments.name,
        report.content(measured, model=arguments.model_name),
        packages=("hfmodel", "torch", "transformers"),
        charts={arguments.name: chart.draw(report.charted(measured), title=f"Cold start of {arguments.model_name}")},
    )


def _cluster_wakes(arguments: argparse.Namespace) -> Wakes | None:
    count, model_id = arguments.cluster_wakes, arguments.model_id
    if arguments.url:
        return wakes(arguments.url, model_id, count=count)
    if not arguments.node:
        return None
    sys.path.insert(0, str(_TESTS))
    node = importlib.import_module("bench.cold_start.node")
    errors = importlib.import_module("cluster.errors")
    try:
        with node.released(arguments.model_dir, model_id=model_id) as url:
            return wakes(url, model_id, count=count)
    except errors.ClusterError as error:
        raise SystemExit(f"the node was not started: {error}") from None
