"""`hfmodel-operator`: operate on a cluster, or explain a decision."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from hfmodel_api.errors import HFModelError, InvalidManifest
from hfmodel_operator.decide import decide
from hfmodel_operator.document import parse_observed, plan_as_yaml
from hfmodel_operator.observed import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status. argparse ends the process for --help, --version and wrong options."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_usage(sys.stderr)
        return 2
    return _run() if parsed.command == "run" else _plan(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hfmodel-operator", description=__doc__)
    parser.add_argument("--version", action="version", version=f"hfmodel {version('hfmodel')}")
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser(
        "run",
        help="operate on a cluster until SIGTERM",
        description="Operate on a cluster until SIGTERM. All settings are environment variables: see docs/operator.md.",
    )
    plan = commands.add_parser(
        "plan", help="print what would be done about an observed picture", description="Print the plan as YAML."
    )
    plan.add_argument(
        "--observed", required=True, metavar="FILE", help="the picture, YAML or JSON; - reads it from stdin"
    )
    plan.add_argument("--now", type=_time, metavar="TIME", help="ISO 8601 with a zone; default: the present")
    plan.add_argument("--max-loaded-models", type=_count, metavar="N", help="the pool limit; default: none")
    return parser


def _run() -> int:
    # What talks to a cluster is imported where there may be one: explaining a decision needs none of it.
    import uvloop

    from hfmodel_operator.cluster.run import run
    from hfmodel_operator.cluster.settings import settings_from_environment

    try:
        settings = settings_from_environment(os.environ)
        level = settings.log_level.upper()
        logging.basicConfig(
            stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
        )
        # A line for every event of every object, or for every probe of the kubelet, helps nobody.
        for noisy in ("kopf.objects", "aiohttp.access"):
            logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
        uvloop.run(run(settings))
    except HFModelError as error:
        print(f"hfmodel-operator: {error}", file=sys.stderr)
        return 1
    return 0


def _plan(parsed: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if parsed.observed == "-" else Path(parsed.observed).read_text(encoding="utf-8")
        observed = parse_observed(text, origin=parsed.observed)
    except (OSError, UnicodeDecodeError, InvalidManifest) as error:
        print(f"hfmodel-operator: {error}", file=sys.stderr)
        return 1
    settings = Settings(max_loaded_models=parsed.max_loaded_models)
    print(plan_as_yaml(decide(observed, settings, parsed.now or datetime.now(UTC))), end="")
    return 0


def _time(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write it as 2026-03-01T12:00:00Z") from None
    if value.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone: write it as {text}Z")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of models")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
