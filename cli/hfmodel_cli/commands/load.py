"""`hfmodel load` and `hfmodel unload`."""

from typing import Any

import click

from hfmodel_cli.commands.options import connect, hold_option, json_option, server_options
from hfmodel_cli.output import print_json, waking
from hfmodel_cli.text import printable


@click.command()
@click.argument("model_id", metavar="ID")
@server_options
@hold_option
@json_option
@click.option("--wait/--no-wait", default=True, help="Wait until it is ready.  [default: wait]")
def load(model_id: str, wait: bool, as_json: bool, **options: Any) -> None:
    """Wake a model. Not needed before a request, which wakes it as well."""
    with connect(options) as server, waking(server, model_id):
        answer = server.load(model_id, wait=wait)
    _print(answer, as_json=as_json)


@click.command()
@click.argument("model_id", metavar="ID")
@server_options
@json_option
def unload(model_id: str, as_json: bool, **options: Any) -> None:
    """Let a model go to sleep, as soon as it has finished its requests. The next request wakes it again."""
    with connect(options) as server:
        answer = server.unload(model_id)
    _print(answer, as_json=as_json)


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        click.echo(printable(str(answer.get("message", "done"))))
