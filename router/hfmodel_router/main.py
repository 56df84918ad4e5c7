"""`hfmodel-router`: the router in front of runtimes that were started by other means."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import uvloop

from hfmodel_api.errors import HFModelError
from hfmodel_api.manifests import load_manifests
from hfmodel_api.spec import HFModel
from hfmodel_router.app import create_app
from hfmodel_router.fleet_static import Backend, StaticFleet, parse_backend
from hfmodel_router.logs import configure_logging
from hfmodel_router.serve import run
from hfmodel_router.settings import LOG_LEVELS, RouterSettings, settings_from_environment
from hfmodel_router.version import version

_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit status."""
    options = _parser().parse_args(argv)
    try:
        settings = settings_from_environment(
            os.environ, host=options.host, port=options.port, log_level=options.log_level
        )
        backends = tuple(map(parse_backend, options.backend))
        configure_logging(level=settings.log_level, as_json=settings.json_logs)
        uvloop.run(_serve(settings, backends, options.catalog))
    except HFModelError as error:
        sys.stderr.write(f"hfmodel-router: {error}\n")
        return _USAGE_ERROR
    return 0


async def _serve(settings: RouterSettings, backends: tuple[Backend, ...], catalog: Path | None) -> None:
    async with StaticFleet(backends, load_models=lambda: _models(catalog)) as fleet:
        await run(create_app(fleet=fleet, settings=settings), settings, on_ready=_announce)


def _announce(url: str) -> None:
    sys.stderr.write(f"hfmodel-router: serving on {url}\n")


def _models(catalog: Path | None) -> Iterable[HFModel]:
    if catalog is None:
        return ()
    loaded = load_manifests(catalog)
    if loaded.errors:
        raise HFModelError("\n".join(map(str, loaded.errors)))
    return loaded.models


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hfmodel-router",
        description="One REST and OpenAI endpoint in front of hfmodel runtimes that are started by other means.",
        epilog="Every setting can be given by the environment as HFMODEL_<SETTING>; see docs/rest-api.md.",
    )
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument("--catalog", type=Path, metavar="PATH", help="file or folder of HFModel manifests")
    parser.add_argument(
        "--backend", action="append", default=[], metavar="ID=URL", help="a runtime and its model; repeat for more"
    )
    parser.add_argument("--host", help="default: HOST, or 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: PORT, or 8000")
    parser.add_argument("--log-level", choices=LOG_LEVELS)
    return parser
