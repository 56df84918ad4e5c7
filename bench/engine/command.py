"""The command line of the engine's bench."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench import bars, peers, results
from bench.engine import alone, report
from bench.engine.measure import Answer, measure
from bench.engine.questions import ENGINE, Question, named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("--model-dir", type=Path, required=True, help="a model directory, as `fetch` makes it")
    parser.add_argument("--model-name", default="SmolLM2-135M-Instruct", help="what the results call it")
    parser.add_argument("--threads", type=int, default=2, help="of every server")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of legs a question")
    known = ", ".join([*(question.name for question in ENGINE), *alone.MEASURES])
    parser.add_argument("--only", nargs="+", default=[], metavar="QUESTION", help=known)
    parser.add_argument("--name", default="engine", help="of the results' files")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    if not (arguments.model_dir / "config.json").is_file():
        raise SystemExit(f"{arguments.model_dir} is no model directory; `hfmodel-runtime fetch` makes one")
    measures = [name for name in alone.MEASURES if name in arguments.only or not arguments.only]
    questions = _questions([name for name in arguments.only if name not in alone.MEASURES], every=not arguments.only)
    figures = [alone.MEASURES[name](arguments.model_dir, arguments.threads) for name in measures]
    answers = (
        measure(
            questions,
            model_dir=arguments.model_dir,
            threads=arguments.threads,
            repeats=arguments.repeats,
            report=_say,
        )
        if questions
        else []
    )
    if answers:
        print("\n" + results.table(report.HEADER, [report.row(answer) for answer in answers]))
    if figures:
        print("\n" + results.table(alone.HEADER, [figure.row() for figure in figures]))
    title = f"{arguments.model_name}, float32 unless said, {arguments.threads} threads"
    drawn = [*(report.bar(answer) for answer in answers), *(figure.bar() for figure in figures)]
    results.write(
        arguments.out,
        arguments.name,
        {
            **report.content(answers, model=arguments.model_name, threads=arguments.threads),
            "alone": {figure.name: dict(figure.details) for figure in figures},
        },
        packages=("hfmodel", "torch", "transformers"),
        charts={arguments.name: bars.draw(drawn, title=title)} if drawn else None,
    )


def _questions(names: Sequence[str], *, every: bool) -> list[Question]:
    """Those of them whose other server can be had here; of the others it is said why not."""
    asked = named(names) if names or every else []
    missing: dict[str, str] = {}
    for contender in dict.fromkeys(question.against for question in asked):
        try:
            contender.python()
        except peers.PeerMissing as error:
            missing[contender.name] = str(error)
            print(f"left out what is asked beside {contender.name}: {error}", flush=True)
    return [question for question in asked if question.against.name not in missing]


def _say(answer: Answer) -> None:
    print(" · ".join(report.row(answer)), flush=True)
