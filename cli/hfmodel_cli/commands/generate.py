"""`hfmodel generate`."""

from typing import Any

import click

from hfmodel_cli.answers import COMPLETIONS, print_answer
from hfmodel_cli.commands.options import (
    connect,
    hold_option,
    json_option,
    sampling_fields,
    sampling_options,
    server_options,
)
from hfmodel_cli.commands.prompt import given_or_piped

_MAX_TOKENS = 100


@click.command()
@click.argument("model_id", metavar="ID")
@click.argument("prompt", required=False)
@server_options
@hold_option
@sampling_options
@json_option
def generate(model_id: str, prompt: str | None, stream: bool | None, as_json: bool, **options: Any) -> None:
    """Continue PROMPT. `-`, or nothing with a pipe, reads it from standard input.

    A model that sleeps is woken first. Without --max-tokens the answer has at most 100.
    """
    text = given_or_piped(prompt)
    if text is None:
        raise click.UsageError("give a PROMPT, or - to read it from standard input")
    body = {"model": model_id, "prompt": text, "max_tokens": _MAX_TOKENS, **sampling_fields(options)}
    with connect(options) as server:
        print_answer(server, COMPLETIONS, body, stream=stream, as_json=as_json)
