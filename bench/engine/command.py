"""The command line of the engine's bench."""

import argparse
from pathlib import Path

from bench import bars, results
from bench.engine import report
from bench.engine.measure import Answer, measure
from bench.engine.questions import ENGINE, named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--model-dir", type=Path, required=True, help="a model directory, as `fetch` makes it")
    parser.add_argument("--model-name", default="SmolLM2-135M-Instruct", help="what the results call it")
    parser.add_argument("--threads", type=int, default=2, help="of every server")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of legs a question")
    parser.add_argument("--only", nargs="+", default=[], metavar="QUESTION", help=", ".join(q.name for q in ENGINE))
    parser.add_argument("--name", default="engine", help="of the results' files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    questions = named(arguments.only)
    if not (arguments.model_dir / "config.json").is_file():
        raise SystemExit(f"{arguments.model_dir} is no model directory; `hfmodel-runtime fetch` makes one")
    answers = measure(
        questions,
        model_dir=arguments.model_dir,
        threads=arguments.threads,
        repeats=arguments.repeats,
        report=_say,
    )
    print("\n" + results.table(report.HEADER, [report.row(answer) for answer in answers]))
    title = f"{arguments.model_name}, float32, {arguments.threads} threads: times better"
    results.write(
        arguments.out,
        arguments.name,
        report.content(answers, model=arguments.model_name, threads=arguments.threads),
        packages=("hfmodel", "torch", "transformers"),
        charts={arguments.name: bars.draw([report.bar(answer) for answer in answers], title=title)},
    )


def _say(answer: Answer) -> None:
    print(" · ".join(report.row(answer)), flush=True)
