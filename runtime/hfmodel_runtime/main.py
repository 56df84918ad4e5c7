"""`hfmodel-runtime`: serve one model, fetch one, tend the cache, or be the parent of forked serving processes."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from hfmodel_runtime.allocator import take_allocator

_USAGE = """usage: hfmodel-runtime {serve,fetch,cache,zygote} [options]

  serve    serve one model directory over HTTP
  fetch    download or convert a model into the cache
  cache    look at the cache, and take out of it what nobody needs
  zygote   fork serving processes on request (used by `hfmodel up`)

`hfmodel-runtime COMMAND --help` lists the options of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; each imports only what it needs, since start-up time is what callers wait for."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None and arguments[:1] in (["serve"], ["zygote"]):
        take_allocator()
    match arguments:
        case ["serve", *rest]:
            _serve(rest)
        case ["fetch", *rest]:
            from hfmodel_runtime.fetch.cli import main as fetch

            return fetch(rest)
        case ["cache", *rest]:
            from hfmodel_runtime.fetch.cache_cli import main as cache

            return cache(rest)
        case ["zygote", *rest]:
            from hfmodel_runtime.zygote import main as zygote

            return zygote(rest)
        case ["--version"]:
            from importlib.metadata import version

            print(f"hfmodel-runtime {version('hfmodel')}")
            return 0
        case ["-h" | "--help"]:
            print(_USAGE, end="")
            return 0
        case [unknown, *_]:
            print(f"{_USAGE}\nhfmodel-runtime: error: no command {unknown!r}", file=sys.stderr)
        case _:
            print(f"{_USAGE}\nhfmodel-runtime: error: a command is required", file=sys.stderr)
    return 2


def _serve(arguments: Sequence[str]) -> NoReturn:
    from hfmodel_runtime.server.serve import serve
    from hfmodel_runtime.settings import ServeSettings

    code = serve(ServeSettings.from_command_line(arguments, os.environ))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # A loading thread that was told to stop may still be deep in native code; finalising the interpreter
    # under it ends in an abort. Nothing is left to clean up.
    os._exit(code)
