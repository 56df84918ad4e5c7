"""`python -m cluster build | up | down`: Kubernetes' binaries, and a control plane to try things on."""

import argparse
import sys

from cluster.build import KUBERNETES_COMMANDS, build
from cluster.errors import ClusterError
from cluster.session import Session


def main() -> int:
    arguments = _parser().parse_args()
    try:
        match arguments.command:
            case "build":
                build(arguments.only or KUBERNETES_COMMANDS, report=_report, jobs=arguments.jobs)
            case "up" if arguments.detach:
                print(Session.of_this_user().start())
            case "up":
                Session.of_this_user().hold()
            case "down":
                _report("stopped" if Session.of_this_user().stop() else "no cluster is up")
    except ClusterError as error:
        _report(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build_parser = commands.add_parser("build", help="fill the cache of binaries, once per machine (about 10 minutes)")
    build_parser.add_argument("--jobs", type=int, help="packages compiled at a time; one per processor unless told")
    build_parser.add_argument("only", nargs="*", metavar="COMMAND", help=f"of {', '.join(KUBERNETES_COMMANDS)}")
    up = commands.add_parser("up", help="start a control plane, print its kubeconfig's path, run until Ctrl-C")
    up.add_argument("--detach", action="store_true", help="return once it answers; `down` ends it")
    commands.add_parser("down", help="end the control plane that is up")
    return parser


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
