"""Where a prompt comes from."""

import sys

import click


def given_or_piped(argument: str | None) -> str | None:
    """The argument, or standard input for `-` or if it is a pipe; None: a person sits there and gave nothing."""
    if argument is not None and argument != "-":
        return argument
    if argument is None and sys.stdin.isatty():
        return None
    data = sys.stdin.buffer.read()
    try:
        # One line feed at the end is the pipe's, not the prompt's.
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.UsageError("standard input is not UTF-8 text") from error
