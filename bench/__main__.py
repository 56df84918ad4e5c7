"""`python -m bench WHAT`: measure, print a table, write JSON and a chart into bench/results."""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence

from bench import results

# Each is a package with `add_arguments(parser)` and `run(arguments)` in its module `command`.
BENCHES = {
    "cold_start": "how long a sleeping model takes to answer",
    "engine": "the batch engine beside what else serves the same model",
    "overload": "what comes of callers at ten times the load",
    "operator_scale": "the operator and the router with many models on a real API server",
    "relay": "the router's relay beside Caddy, HAProxy and nginx",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    # So that an interrupted run leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    subparsers = parser.add_subparsers(metavar="WHAT", required=True)
    for name, purpose in BENCHES.items():
        subparser = subparsers.add_parser(name, help=purpose, description=purpose)
        command = importlib.import_module(f"bench.{name}.command")
        command.add_arguments(subparser)
        results.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
