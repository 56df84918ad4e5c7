"""What is wrong with manifests and the like: as lines for people, as JSON for programs."""

from collections.abc import Iterable

import click

from hfmodel_api.errors import InvalidManifest


def print_problems(errors: Iterable[InvalidManifest]) -> None:
    """One line on standard error for each."""
    for error in errors:
        for each in error.errors:
            click.echo(f"Error: {InvalidManifest((each,), origin=error.origin)}", err=True)


def problems_as_json(errors: Iterable[InvalidManifest]) -> list[dict[str, str]]:
    return [
        {"origin": error.origin, "path": each.path, "message": each.message}
        for error in errors
        for each in error.errors
    ]
