"""`hfmodel list`."""

from datetime import UTC, datetime
from typing import Any

import click

from hfmodel_cli.client import Row
from hfmodel_cli.commands.options import connect, json_option, server_options
from hfmodel_cli.output import ago, print_json, print_table


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


_WIDE = ("SIZE", "DEVICE", "MAX LENGTH", "WAKE", "REVISION")


def _cells(row: Row, *, now: datetime, wide: bool) -> list[str]:
    ready = row.text("replicas") or str(int(row.loaded))
    cells = [row.id, row.text("type"), row.text("phase"), ready, row.text("name"), _last_active(row, now)]
    cells.append(row.text("message"))
    if wide:
        wake = f"{row.wake_seconds:.1f} s" if row.wake_seconds else ""
        cells += [row.text("size"), row.text("device"), row.text("max_length"), wake, row.text("revision")[:12]]
    return cells


def _last_active(row: Row, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(row.text("last_used"))
    except ValueError:
        return ""
    return f"{ago(moment if moment.tzinfo else moment.replace(tzinfo=UTC), now)} ago"
