"""`hfmodel list`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from pydantic import ValidationError

from hfmodel_api.status import CacheStatus, Phase
from hfmodel_cli.client import Row
from hfmodel_cli.commands.options import connect, json_option, server_options
from hfmodel_cli.output import ago, at_terminal, print_json, print_table
from hfmodel_cli.progress import progress_text


@click.command("list")
@server_options
@json_option
@click.option("--wide", is_flag=True, help="Show more columns.")
def list_models(as_json: bool, wide: bool, **options: Any) -> None:
    """List the models of a server, and where each stands."""
    with connect(options) as server:
        rows = server.models()
    if as_json:
        print_json({row.id: row.fields for row in rows})
        return
    now = datetime.now(UTC)
    headers = ["ID", "TYPE", "PHASE", "READY", "MODEL", "LAST ACTIVE", "MESSAGE"]
    print_table([*headers, *(_WIDE if wide else ())], [_cells(row, now=now, wide=wide) for row in rows])


_SHOWN_SECONDS = 0.05
_WIDE = ("SIZE", "DEVICE", "MAX LENGTH", "WAKE", "REVISION", "LAST START")


def _cells(row: Row, *, now: datetime, wide: bool) -> list[str]:
    ready = row.text("replicas") or str(int(row.loaded))
    cells = [row.id, row.text("type"), row.text("phase"), ready, row.text("name"), _last_active(row, now)]
    cells.append(": ".join(filter(None, (row.text("message"), _download(row)))))
    if wide:
        wake = f"{row.wake_seconds:.1f} s" if row.wake_seconds else ""
        cells += [row.text("size"), row.text("device"), row.text("max_length"), wake, row.text("revision")[:12]]
        cells.append(_start(row))
    return cells


def _download(row: Row) -> str:
    """How far it is, while it runs."""
    try:
        cache = CacheStatus.model_validate(row.fields.get("cache"))
    except ValidationError:  # an old server's, or none
        return ""
    runs = row.text("phase") == Phase.FETCHING or cache.bytes_per_second is not None
    return progress_text(cache, bar=at_terminal()) if runs and cache.bytes != cache.total_bytes else ""


def _start(row: Row) -> str:
    """Where the seconds of its last start went, the smallest left out: `1.4 s = container 0.1 + weights 0.4`."""
    stages = row.fields.get("start")
    if not isinstance(stages, Mapping):
        return ""
    seconds = {str(name): each for name, each in stages.items() if isinstance(each, int | float)}
    parts = " + ".join(f"{name} {each:.1f}" for name, each in seconds.items() if each >= _SHOWN_SECONDS)
    return f"{sum(seconds.values()):.1f} s = {parts}" if parts else ""


def _last_active(row: Row, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(row.text("last_used"))
    except ValueError:
        return ""
    return f"{ago(moment if moment.tzinfo else moment.replace(tzinfo=UTC), now)} ago"
