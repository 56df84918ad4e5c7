"""The conversation of `hfmodel chat` at a terminal."""

import contextlib

import click

from hfmodel_cli.answers import CHAT_COMPLETIONS, pieces
from hfmodel_cli.client import Server
from hfmodel_cli.conversation import Conversation
from hfmodel_cli.errors import Refused, Unreachable
from hfmodel_cli.output import print_text, waking
from hfmodel_cli.text import printable

_PROMPT = ">>> "
_HELP = """\
/system TEXT  tell the model how to behave (without TEXT: show it; /system - takes it away)
/reset        forget what was said
/quit         end (or Ctrl-D)
Ctrl-C stops an answer."""


class Repl:
    """Reads lines and prints answers until the person leaves."""

    def __init__(self, server: Server, conversation: Conversation) -> None:
        self._server = server
        self._conversation = conversation

    def run(self) -> None:
        with contextlib.suppress(ImportError):
            # Its import gives `input` line editing and a history, in memory only.
            import readline  # noqa: F401
        # Before the first prompt: a wrong name or a missing server is better known now.
        model = self._server.model(self._conversation.model_id)
        click.echo(f"{model.id} ({printable(model.text('name'))}). /help tells what you can do, Ctrl-D ends.", err=True)
        while (line := _read()) is not None:
            if not self._handle(line.strip()):
                return
        click.echo(err=True)

    def _handle(self, line: str) -> bool:
        """Whether the conversation goes on."""
        command, _, rest = line.partition(" ")
        match command:
            case "":
                pass
            case "/quit" | "/exit" | "/bye":
                return False
            case "/help" | "/?":
                click.echo(_HELP, err=True)
            case "/reset":
                self._conversation.reset()
                click.echo("(forgotten)", err=True)
            case "/system":
                self._system(rest.strip())
            case _ if command.startswith("/") and command[1:].isalpha():
                click.echo(f"there is no {command}\n{_HELP}", err=True)
            case _:
                self._turn(line)
        return True

    def _system(self, text: str) -> None:
        if text:
            self._conversation.system = None if text == "-" else text
        click.echo(f"(system: {self._conversation.system or 'none'})", err=True)

    def _turn(self, message: str) -> None:
        answer: list[str] = []
        try:
            self._answer(message, answer)
        except KeyboardInterrupt:
            click.echo("\n(stopped)", err=True)
        except (Refused, Unreachable) as error:
            if answer:
                click.echo()
            click.echo(f"Error: {error.message}", err=True)
            return
        if answer:
            self._conversation.add(message, "".join(answer))

    def _answer(self, message: str, answer: list[str]) -> None:
        body = self._conversation.request(message)
        with (
            waking(self._server, self._conversation.model_id) as waiting,
            contextlib.closing(pieces(self._server, CHAT_COMPLETIONS, body, waiting.over)) as texts,
        ):
            for text in texts:
                answer.append(text)
                print_text(text)
        click.echo()


def _read() -> str | None:
    """A line, None at the end. Ctrl-C at the prompt only drops the line."""
    while True:
        try:
            return input(_PROMPT)
        except KeyboardInterrupt:
            click.echo(err=True)
        except EOFError:
            return None
