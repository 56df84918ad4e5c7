"""`hfmodel chat`."""

from typing import Any

import click

from hfmodel_cli.answers import CHAT_COMPLETIONS, print_answer
from hfmodel_cli.commands.options import (
    connect,
    hold_option,
    json_option,
    sampling_fields,
    sampling_options,
    server_options,
)
from hfmodel_cli.commands.prompt import given_or_piped
from hfmodel_cli.conversation import Conversation
from hfmodel_cli.repl import Repl


@click.command()
@click.argument("model_id", metavar="ID")
@click.argument("message", required=False)
@server_options
@hold_option
@sampling_options
@click.option("--system", metavar="TEXT", help="How the model is to behave.")
@json_option
def chat(
    model_id: str, message: str | None, system: str | None, stream: bool | None, as_json: bool, **options: Any
) -> None:
    """Chat with a model. With MESSAGE (or `-`, or a pipe) it answers once; without, it is a conversation.

    In a conversation, Ctrl-C stops the answer and Ctrl-D ends it; /help tells the rest.
    """
    conversation = Conversation(model_id, system=system, fields=sampling_fields(options))
    text = given_or_piped(message)
    if text is None and as_json:
        raise click.UsageError("--json needs a MESSAGE: a conversation is for people")
    with connect(options) as server:
        if text is None:
            Repl(server, conversation).run()
        else:
            print_answer(server, CHAT_COMPLETIONS, conversation.request(text), stream=stream, as_json=as_json)
