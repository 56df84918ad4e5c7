"""Options that several commands share."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
import httpx

from hfmodel_cli.client import Server

_LONGEST_HOLD = 7 * 24 * 3600.0  # seconds
DEFAULT_URL = "http://127.0.0.1:8000"
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Number(click.FloatRange):
    """A finite number: click's own range lets NaN through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def _key(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (value.isascii() and value.isprintable()):
        raise click.BadParameter("a key is made of printable ASCII characters, as HTTP headers are")
    return value


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL as error:
        raise click.BadParameter(f"{value!r} is not an address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise click.BadParameter(f"{value!r} is not an address: write it as {DEFAULT_URL}")
    return value


def server_options(command: _Command) -> _Command:
    """`--url` and `--api-key`."""
    key = click.option(
        "--api-key",
        metavar="KEY",
        envvar="HFMODEL_API_KEY",
        callback=_key,
        show_envvar=True,
        help="The server's API key; better given by the environment, where no process list shows it.",
    )
    url = click.option(
        "--url",
        metavar="URL",
        envvar="HFMODEL_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
        callback=_address,
        help="Where the server is.",
    )
    return url(key(command))


def hold_option(command: _Command) -> _Command:
    return click.option(
        "--timeout",
        "hold_timeout",
        metavar="SECONDS",
        type=_Number(min=0, max=_LONGEST_HOLD),
        help="How long to wait for a model that sleeps.  [default: the server's own]",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def sampling_options(command: _Command) -> _Command:
    """How an answer is chosen; what is not given is left to the model."""
    options = (
        click.option("--max-tokens", type=click.IntRange(min=1), help="The most tokens of the answer."),
        click.option("--temperature", type=_Number(0, 2), help="0 is greedy.  [default: the model's]"),
        click.option("--top-p", type=_Number(0, 1, min_open=True), help="Keep the likeliest tokens up to this."),
        click.option("--seed", type=int, help="The same seed gives the same answer."),
        click.option("--stop", multiple=True, metavar="TEXT", help="Stop before this text; may be repeated."),
        click.option(
            "--stream/--no-stream", default=None, help="Print as it comes.  [default: yes, but not with --json]"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def sampling_fields(options: dict[str, Any]) -> dict[str, Any]:
    """The options of `sampling_options` that were given, as fields of OpenAI's calls."""
    names = ("max_tokens", "temperature", "top_p", "seed")
    fields = {name: options[name] for name in names if options[name] is not None}
    return {**fields, "stop": list(options["stop"])} if options["stop"] else fields


def connect(options: dict[str, Any]) -> Server:
    """The server that `server_options` (and `hold_option`) name."""
    return Server(options["url"], api_key=options["api_key"], hold_timeout=options.get("hold_timeout"))
