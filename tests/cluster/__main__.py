"""`python -m cluster`: Kubernetes' binaries, and a cluster to try things on."""

import argparse
import sys
from pathlib import Path

from cluster.build import KUBERNETES_COMMANDS, build
from cluster.errors import ClusterError
from cluster.packages import missing_packages
from cluster.session import CONTROL_PLANE, NODE, Level, Session


def main() -> int:
    arguments = _parser().parse_args()
    session = Session.of_this_user()
    try:
        match arguments.command:
            case "build":
                build(arguments.only or KUBERNETES_COMMANDS, report=_report, jobs=arguments.jobs)
            case "missing-packages":
                print("\n".join(missing_packages()))
            case "up" if arguments.detach:
                print(session.start(_level(arguments)))
            case "up":
                session.hold(_level(arguments))
            case "load":
                print("\n".join(session.load(arguments.archive)))
            case "down":
                _report("stopped" if session.stop() else "no cluster is up")
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
    commands.add_parser("missing-packages", help="print the Debian packages that a node needs and this machine lacks")
    up = commands.add_parser("up", help="start a control plane, print its kubeconfig's path, run until Ctrl-C")
    up.add_argument("--node", action="store_true", help="with a node on which pods run (root, see missing-packages)")
    up.add_argument("--detach", action="store_true", help="return once it answers; `down` ends it")
    load = commands.add_parser("load", help="give the node that is up the images of an archive, print their names")
    load.add_argument("archive", type=Path, help="made by `buildah push IMAGE oci-archive:FILE:NAME`")
    commands.add_parser("down", help="end the cluster that is up")
    return parser


def _level(arguments: argparse.Namespace) -> Level:
    return NODE if arguments.node else CONTROL_PLANE


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
