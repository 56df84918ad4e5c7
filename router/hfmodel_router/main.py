"""`hfmodel-router`: the router in front of a cluster's models, or of runtimes that were started by other means."""

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
from hfmodel_router.serve import run, until_done_or_ended
from hfmodel_router.settings import LOG_LEVELS, RouterSettings, settings_from_environment
from hfmodel_router.version import version

_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit status."""
    options = _options(argv)
    try:
        settings = settings_from_environment(
            os.environ, host=options.host, port=options.port, log_level=options.log_level
        )
        backends = tuple(map(parse_backend, options.backend))
        configure_logging(level=settings.log_level, as_json=settings.json_logs)
        if options.kubernetes:
            uvloop.run(_serve_cluster(settings, options.namespace))
        else:
            uvloop.run(_serve(settings, backends, options.catalog))
    except HFModelError as error:
        sys.stderr.write(f"hfmodel-router: {error}\n")
        return _USAGE_ERROR
    return 0


async def _serve(settings: RouterSettings, backends: tuple[Backend, ...], catalog: Path | None) -> None:
    async with StaticFleet(backends, load_models=lambda: _models(catalog)) as fleet:
        await run(create_app(fleet=fleet, settings=settings), settings, on_ready=_announce)


async def _serve_cluster(settings: RouterSettings, namespace: str | None) -> None:
    try:
        # Only here: whoever runs the router without a cluster needs no client for one.
        from hfmodel_router.kube.connect import kube_fleet
    except ImportError as error:
        raise HFModelError(f"--kubernetes needs the package kubernetes, with kubernetes.aio: {error}") from error
    async with kube_fleet(namespace, os.environ) as fleet:
        # No port before the first lists: an empty catalogue would answer 404 for models that are there.
        if await until_done_or_ended(fleet.synced()):
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


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.kubernetes and (options.backend or options.catalog):
        parser.error("--kubernetes reads models and pods from the cluster: it takes no --backend and no --catalog")
    if options.namespace is not None and not options.kubernetes:
        parser.error("--namespace goes with --kubernetes")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hfmodel-router",
        description="One REST and OpenAI endpoint in front of the models of a cluster (--kubernetes), or of hfmodel "
        "runtimes that are started by other means (--backend).",
        epilog="Every setting can be given by the environment as HFMODEL_<SETTING>; see docs/rest-api.md.",
    )
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument("--catalog", type=Path, metavar="PATH", help="file or folder of HFModel manifests")
    parser.add_argument(
        "--backend", action="append", default=[], metavar="ID=URL", help="a runtime and its model; repeat for more"
    )
    parser.add_argument("--kubernetes", action="store_true", help="serve the HFModels of a cluster's namespace")
    parser.add_argument(
        "--namespace", metavar="NS", help="default: WATCH_NAMESPACE, or the pod's own, or the kubeconfig's"
    )
    parser.add_argument("--host", help="default: HOST, or 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: PORT, or 8000")
    parser.add_argument("--log-level", choices=LOG_LEVELS)
    return parser
