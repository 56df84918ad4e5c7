"""`hfmodel export`: manifests as a models.yaml of the old server."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.manifests import load_manifests
from hfmodel_api.models_yaml import FIELDS, read_models_yaml
from hfmodel_api.models_yaml_export import export_models_yaml
from hfmodel_api.spec import HFModel, Source
from hfmodel_cli.client import Server
from hfmodel_cli.commands.options import connect, server_options
from hfmodel_cli.commands.problems import print_problems
from hfmodel_cli.errors import Refused
from hfmodel_cli.migration.documents import to_yaml


@click.command("export")
@click.argument("catalog", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from-server", is_flag=True, help="Ask a server (--url) in place of a CATALOG: this one or the old one."
)
@server_options
@click.pass_context
def export_models(context: click.Context, /, catalog: Path | None, from_server: bool, **options: Any) -> None:
    """Print the models of CATALOG (default: ./models) as a models.yaml of the server that this project replaces.

    What a models.yaml cannot say is told on standard error.
    """
    if from_server and catalog is not None:
        raise click.UsageError("give CATALOG or --from-server, not both")
    if from_server:
        with connect(options) as server:
            models, errors = _of_server(server)
    else:
        models, errors = _of_catalog(catalog or Path("models"))
    if errors:
        print_problems(errors)
        context.exit(1)
    if not models:
        raise Refused("there is no HFModel in what was given")
    exported = export_models_yaml(models)
    for note in exported.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(to_yaml(exported.document))


def _of_catalog(path: Path) -> tuple[Sequence[HFModel], Sequence[InvalidManifest]]:
    loaded = load_manifests(path)
    return [_here(model, loaded.origins[model.id].parent) for model in loaded.models], loaded.errors


def _here(model: HFModel, folder: Path) -> HFModel:
    """`model` with a relative path of weights as it is seen from here, where the models.yaml will lie."""
    path = model.spec.source.path
    if path is None or path.startswith(("/", "~")):
        return model
    seen = os.path.relpath(folder / path)
    return model.model_copy(update={"spec": model.spec.model_copy(update={"source": Source(path=seen)})})


def _of_server(server: Server) -> tuple[Sequence[HFModel], Sequence[InvalidManifest]]:
    """What `GET /models` tells; the old server had the same fields."""
    rows = {row.id: row.fields for row in server.models()}
    entries = {
        # Whatever a server answers that is none of ours is refused by the reader, in its words.
        model_id: {name: fields.get(name) for name in FIELDS} if isinstance(fields, dict) else fields
        for model_id, fields in rows.items()
    }
    read = read_models_yaml({"models": entries}, origin=server.url)
    return read.models, read.errors
