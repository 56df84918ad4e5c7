"""What the commands print: for people at a terminal, for pipes, and as JSON for programs."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TextIO

import click

from hfmodel_cli.client import Row, Server
from hfmodel_cli.text import one_line, printable, seconds_text

_GAP = "  "
_NONE = "-"


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """A piece of an answer, at once. Pipes get it as it is, terminals without control characters."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)


def at_terminal() -> bool:
    """Whether a person sees the output at once."""
    return sys.stdout.isatty()


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns: wrapped to the width of a terminal, whole lines for pipes."""
    clean = [[one_line(cell) or _NONE for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(headers, clean)
        return
    widths = [max(map(len, column)) for column in zip(headers, *clean, strict=True)]
    for row in (headers, *clean):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(_GAP.join(cells).rstrip())


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # rich takes a tenth of a second to import; pipes need none of it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def ago(moment: datetime, now: datetime) -> str:
    """`3m` and the like, as kubectl shows ages."""
    return seconds_text((now - moment) / timedelta(seconds=1))


@contextmanager
def waking(server: Server, model_id: str) -> Iterator["Waiting"]:
    """Shows that a model is on its way until `Waiting.over` is called; only where a person watches.

    Raises:
        Refused: there is no such model.
    """
    if not sys.stderr.isatty():
        yield Waiting()
        return
    row = server.model(model_id)
    waiting = Waiting() if row.loaded else Waiting(waking_text(row), sys.stderr)
    try:
        yield waiting
    finally:
        waiting.over()


def waking_text(row: Row) -> str:
    eta = f" (about {max(1, round(row.wake_seconds))} s)" if row.wake_seconds else ""
    return f"waking {printable(row.id)} …{eta}"


class Waiting:
    """A line that turns while something is waited for. Without text it is not there."""

    def __init__(self, text: str = "", stream: TextIO | None = None) -> None:
        self._status: Any = None
        if text:
            from rich.console import Console
            from rich.markup import escape
            from rich.status import Status

            self._status = Status(escape(text), console=Console(file=stream))
            self._status.start()

    def over(self) -> None:
        """Take the line away. Idempotent."""
        if self._status is not None:
            self._status.stop()
            self._status = None
