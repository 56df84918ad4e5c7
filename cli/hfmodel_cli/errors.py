"""What the commands end with when all is not well, and the exit codes.

click.ClickException
├── Refused         1   the server (or a manifest) said no
└── Unreachable     3   no server answers
"""

from typing import Final

import click

INTERRUPTED: Final = 130


class Refused(click.ClickException):
    """The server answered, and said no. Its text is for the user."""

    exit_code = 1


class Unreachable(click.ClickException):
    """No server answers at the address, or it went away in the middle."""

    exit_code = 3
