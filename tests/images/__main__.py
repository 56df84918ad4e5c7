"""`python -m images build [NAME ...] | missing-packages`: the project's images as archives, and what that takes."""

import argparse
import sys
from pathlib import Path

from cluster.errors import ClusterError
from images.build import build, missing_packages
from images.names import DEFAULT_TAG, IMAGES


def main() -> int:
    arguments = _parser().parse_args()
    try:
        if arguments.command == "missing-packages":
            print("\n".join(missing_packages()))
            return 0
        for name in arguments.names or IMAGES:
            print(build(name, output=arguments.output, tag=arguments.tag, report=_report), flush=True)
    except ClusterError as error:
        _report(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("missing-packages", help="print the Debian packages that building needs and this machine lacks")
    build_parser = commands.add_parser("build", help="build what has changed, print where the archives are")
    build_parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}; all unless told")
    build_parser.add_argument("--output", type=Path, metavar="DIR", help="folder for the archives")
    build_parser.add_argument("--tag", default=DEFAULT_TAG, help="of the images' names; default: %(default)s")
    return parser


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
