"""`hfmodel validate`."""

from collections.abc import Iterator
from pathlib import Path

import click

from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.manifests import LoadedManifests, load_manifests
from hfmodel_cli.commands.options import json_option
from hfmodel_cli.commands.problems import problems_as_json
from hfmodel_cli.output import print_json, print_table


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def validate(context: click.Context, paths: tuple[Path, ...], as_json: bool) -> None:
    """Check the HFModel manifests in files and folders (or an old server's models.yaml), without a cluster.

    The schema is the one that a cluster enforces. Exits with 1 if anything is wrong, or if there is no HFModel at all.
    """
    loaded = [load_manifests(path) for path in paths]
    errors = [*(error for each in loaded for error in each.errors), *_duplicates(loaded)]
    ids = [model.id for each in loaded for model in each.models]
    notes = [note for each in loaded for note in each.notes]
    if as_json:
        print_json(
            {"valid": bool(ids) and not errors, "models": ids, "errors": problems_as_json(errors), "notes": notes}
        )
    else:
        _print(errors, ids=ids, notes=notes)
    if errors or not ids:
        context.exit(1)


def _duplicates(loaded: list[LoadedManifests]) -> Iterator[InvalidManifest]:
    """Names that two of the paths have. The same file given twice is no error."""
    origins: dict[str, Path] = {}
    for each in loaded:
        for model_id, path in each.origins.items():
            first = origins.setdefault(model_id, path)
            if first.resolve() != path.resolve():
                error = FieldError("metadata.name", f"{model_id!r} is defined in {first} already")
                yield InvalidManifest((error,), origin=str(path))


def _print(errors: list[InvalidManifest], *, ids: list[str], notes: list[str]) -> None:
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if errors:
        problems = [(error.origin, each.path, each.message) for error in errors for each in error.errors]
        print_table(("FILE", "FIELD", "PROBLEM"), problems)
    elif ids:
        click.echo(f"{len(ids)} valid: {', '.join(ids)}")
    else:
        click.echo("Error: there is no HFModel in what was given", err=True)
