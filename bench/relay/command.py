"""The command line of the relay's bench."""

import argparse

from bench import bars, results
from bench.relay import report
from bench.relay.measure import Plan, measure
from bench.relay.proxies import OURS, others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--rounds", type=int, default=5, help="of every proxy, by turns")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each leg of a round")
    parser.add_argument("--name", default="relay", help="of the results' files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    if arguments.rounds < 1 or arguments.seconds <= 0:
        raise SystemExit("--rounds counts from 1, --seconds from above 0")
    found, missing = others()
    for sentence in missing:
        print(sentence, flush=True)
    measured = measure(found, Plan(arguments.rounds, arguments.seconds), report=lambda line: print(line, flush=True))
    print("\n" + report.tables(measured))
    results.write(
        arguments.out,
        arguments.name,
        report.content(measured),
        packages=("hfmodel", "uvicorn", "uvloop", "httptools"),
        others={each.name: each.version for each in measured.proxies if not each.name.startswith(OURS)},
        charts={arguments.name: bars.draw(report.chart(measured), title="The router's relay")},
    )
