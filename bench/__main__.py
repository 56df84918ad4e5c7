"""`python -m bench engine`: measure, print the table, write JSON and a chart."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import chart, report
from bench.engine import Answer, measure
from bench.questions import ENGINE, named

_RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    arguments = _parser().parse_args(argv)
    # So that an interrupted run leaves no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
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
    print("\n" + report.table(answers))
    command = ["python", "-m", "bench", "engine", "--repeats", str(arguments.repeats), *_only(arguments.only)]
    document = report.document(answers, command=command, model=arguments.model_name, threads=arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.name}.json").write_text(document)
    picture = chart.chart(answers, title=f"{arguments.model_name}, float32, {arguments.threads} threads: times better")
    (arguments.out / f"{arguments.name}.svg").write_text(picture)


def _say(answer: Answer) -> None:
    print(" · ".join(report.row(answer)), flush=True)


def _only(names: Sequence[str]) -> list[str]:
    return ["--only", *names] if names else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("what", choices=["engine"])
    parser.add_argument("--model-dir", type=Path, required=True, help="a model directory, as `fetch` makes it")
    parser.add_argument("--model-name", default="SmolLM2-135M-Instruct", help="what the results call it")
    parser.add_argument("--threads", type=int, default=2, help="of every server")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of legs a question")
    parser.add_argument("--only", nargs="+", default=[], metavar="QUESTION", help=", ".join(q.name for q in ENGINE))
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the results")
    parser.add_argument("--name", default="engine", help="of the results' files")
    return parser


if __name__ == "__main__":
    main()
