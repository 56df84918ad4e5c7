"""`hfmodel`: the command line. Each command is imported when it is used, so that each starts fast."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from hfmodel_cli.errors import INTERRUPTED
from hfmodel_cli.streams import open_closed_streams


class _Command(NamedTuple):
    where: str  # "module:attribute"
    help: str  # for the list of commands, which must not import them all


_COMMANDS = {
    "up": _Command("hfmodel_cli.commands.up:up", "Serve a catalogue of models on this machine, without a cluster."),
    "validate": _Command("hfmodel_cli.commands.validate:validate", "Check manifests against the schema."),
    "list": _Command("hfmodel_cli.commands.list_models:list_models", "List the models of a server."),
    "cache": _Command("hfmodel_cli.commands.cache:cache", "See what is downloaded, and delete what nobody needs."),
    "load": _Command("hfmodel_cli.commands.load:load", "Wake a model, and wait until it is ready."),
    "unload": _Command("hfmodel_cli.commands.load:unload", "Let a model go to sleep."),
    "generate": _Command("hfmodel_cli.commands.generate:generate", "Continue a text."),
    "chat": _Command("hfmodel_cli.commands.chat:chat", "Chat with a model."),
    "import": _Command(
        "hfmodel_cli.commands.import_models:import_models", "Turn an old server's models.yaml into manifests."
    ),
    "export": _Command("hfmodel_cli.commands.export_models:export_models", "Print models as such a models.yaml."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].where.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hfmodel", message="%(prog)s %(version)s")
def cli() -> None:
    """Hugging Face models behind one address: asleep until somebody calls.

    Exit codes: 0 fine, 1 the server or a manifest said no, 2 wrong usage, 3 no server answers, 130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run `hfmodel` and exit. A pipe whose reader went away ends it silently, with 1."""
    open_closed_streams()
    try:
        code = cli.main(args, prog_name="hfmodel", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except OSError as error:
        # Such as standard output on a full disk.
        click.ClickException(f"{error.filename or 'the output'}: {error.strerror}").show()
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
