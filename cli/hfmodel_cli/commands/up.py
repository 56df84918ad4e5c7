"""`hfmodel up`: the models of a catalogue on this machine, without a cluster."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from hfmodel_api.duration import parse_duration
from hfmodel_api.sizes import parse_bytes

if TYPE_CHECKING:
    from hfmodel_cli.local.run import UpOptions


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def default_cache_dir(environment: Mapping[str, str]) -> Path:
    """$HFMODEL_CACHE, else beside the Hub's own cache, else below ~/.cache."""
    if given := environment.get("HFMODEL_CACHE"):
        return Path(given).expanduser()
    if hf_home := environment.get("HF_HOME"):
        return Path(hf_home).expanduser() / "hfmodel"
    return Path.home() / ".cache" / "hfmodel"


def default_idle_timeout(environment: Mapping[str, str]) -> timedelta | None:
    """The old server's AUTO_UNLOAD_MINUTES. Raises click.UsageError."""
    text = environment.get("AUTO_UNLOAD_MINUTES")
    if not text:
        return None
    try:
        return timedelta(minutes=float(text))
    except (ValueError, OverflowError):
        raise click.UsageError(f"AUTO_UNLOAD_MINUTES: {text!r} is not a number of minutes") from None


@click.command()
@click.argument(
    "catalog", required=False, envvar=["HFMODEL_CATALOG", "MODEL_CONFIG_PATH"], type=click.Path(path_type=Path)
)
@click.option(
    "--host", envvar=["HFMODEL_HOST", "HOST"], default="127.0.0.1", show_default=True, help="Where to listen."
)
@click.option(
    "--port",
    envvar=["HFMODEL_PORT", "PORT"],
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes any free one.",
)
@click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where weights are kept. [default: $HFMODEL_CACHE, else $HF_HOME/hfmodel, else ~/.cache/hfmodel]",
)
@click.option(
    "--cache-limit",
    envvar="HFMODEL_CACHE_LIMIT",
    type=_Size(),
    help="How large the cache may become: 40Gi, 500GB. A download that needs room first removes the least recently "
    "used models that no catalogue names. [default: no limit]",
)
@click.option(
    "--max-loaded",
    envvar=["HFMODEL_MAX_LOADED", "MAX_CONCURRENT_MODELS"],
    type=click.IntRange(min=1),
    help="Models loaded at a time; beyond it the least recently used idle one goes. [default: no limit]",
)
@click.option(
    "--idle-timeout",
    envvar="HFMODEL_IDLE_TIMEOUT",
    type=_Duration(),
    help="When an idle model goes to sleep, unless its manifest says: 90s, 30m, 1h. [default: 30m]",
)
@click.option(
    "--api-key",
    envvar=["HFMODEL_API_KEY", "API_KEY"],
    help="Ask callers for this key (Bearer or X-API-Key). Better set as $HFMODEL_API_KEY: other users see arguments.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin call; repeatable, * for all. [default: $CORS_ORIGINS]",
)
@click.option("--hold-timeout", type=_Duration(), help="How long a request waits for its model. [default: 5m]")
@click.option("--load", multiple=True, metavar="ID", help="Wake this model at once; repeatable. [$DEFAULT_MODEL]")
@click.option("--no-prefetch", is_flag=True, help="Download a model at its first request only.")
@click.option(
    "--stop-within", type=_Duration(), default="30s", show_default=True, help="For running requests on Ctrl-C."
)
@click.option(
    "--log-level",
    envvar=["HFMODEL_LOG_LEVEL", "LOG_LEVEL"],
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    help="[default: warning; info with --json-logs]",
)
@click.option(
    "--json-logs", envvar="HFMODEL_JSON_LOGS", is_flag=True, help="Log lines as JSON on stderr, nothing else."
)
def up(**given: Any) -> None:
    """Serve the models of CATALOG on this machine: no cluster, no root.

    CATALOG is a folder of HFModel manifests, one manifest or an old models.yaml (default: ./models). It is followed as
    it changes. Nothing is loaded before somebody calls; idle models go to sleep and the next request wakes them.
    """
    # Late: `hfmodel --help` must not wait for them.
    from hfmodel_api.errors import HFModelError
    from hfmodel_cli.local.run import up as serve
    from hfmodel_cli.local.terminal import LogAudience, Terminal
    from hfmodel_router.logs import configure_logging

    as_json = given["json_logs"]
    try:
        options = options_from(given, os.environ)
        configure_logging(level=options.router.log_level, as_json=as_json)
        host = LogAudience() if as_json else Terminal(Console())
        _run(serve(options, host))
    except HFModelError as error:
        raise click.ClickException(str(error)) from error


def options_from(given: Mapping[str, Any], environment: Mapping[str, str]) -> "UpOptions":
    """What the command line and the variables come to. Raises HFModelError, click.UsageError."""
    from hfmodel_cli.local.backend import BackendOptions
    from hfmodel_cli.local.catalog import Defaults
    from hfmodel_cli.local.run import UpOptions, catalog_path
    from hfmodel_router.settings import settings_from_environment

    hold, stop = given["hold_timeout"], given["stop_within"].total_seconds()
    router = settings_from_environment(
        environment,
        host=given["host"],
        port=given["port"],
        api_keys=tuple(key.strip() for key in (given["api_key"] or "").split(",") if key.strip()) or None,
        cors_origins=given["cors_origins"] or None,
        hold_timeout=hold.total_seconds() if hold is not None else None,
        drain_timeout=stop,
        log_level=(given["log_level"] or ("info" if given["json_logs"] else "warning")).lower(),
        json_logs=given["json_logs"],
    )
    idle_timeout = given["idle_timeout"] if given["idle_timeout"] is not None else default_idle_timeout(environment)
    backend = BackendOptions(
        catalog=catalog_path(given["catalog"]),
        cache_dir=(given["cache_dir"] or default_cache_dir(environment)).expanduser().resolve(),
        cache_limit=given["cache_limit"],
        defaults=Defaults(idle_timeout=idle_timeout, prefetch=not given["no_prefetch"]),
        max_loaded=given["max_loaded"],
        runtime_log_level=router.log_level,
        stop_within=stop,
        environment=environment,
    )
    return UpOptions(router=router, backend=backend, load=given["load"])


def _run(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
