"""`hfmodel import`: the old server's models.yaml and environment, as manifests and Helm values."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.models_yaml import load_models_yaml
from hfmodel_cli.commands.options import json_option
from hfmodel_cli.commands.problems import print_problems, problems_as_json
from hfmodel_cli.errors import Refused
from hfmodel_cli.migration.environment import OldEnvironment, ReadEnvironment, read_environment
from hfmodel_cli.migration.plan import Places, Plan, plan_import
from hfmodel_cli.migration.targets import helm_values, secret_commands, up_options
from hfmodel_cli.migration.writing import write_files
from hfmodel_cli.output import print_json

_File = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.argument("models_yaml", metavar="MODELS_YAML", type=_File)
@click.option(
    "--output",
    "-o",
    metavar="DIR",
    default="models",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the manifests go, with a kustomization.yaml that names them.",
)
@click.option("--values", metavar="FILE", type=_File, help="Also write Helm values for the chart.")
@click.option(
    "--env-file", metavar="FILE", type=_File, help="The old server's environment: lines of NAME=value (.env)."
)
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@json_option
@click.pass_context
def import_models(
    context: click.Context,
    models_yaml: Path,
    output: Path,
    values: Path | None,
    env_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Turn the models.yaml of the server that this project replaces into manifests, one HFModel a file.

    Comments stay beside what they speak of. What has no equivalent is told on standard error. Nothing is written if
    anything is wrong.
    """
    try:
        environment = _environment(env_file)
        read = load_models_yaml(models_yaml, settings=environment.values.settings())
        errors: Sequence[InvalidManifest] = read.errors
    except InvalidManifest as error:
        errors = (error,)
    if errors:
        _print_errors(errors, as_json=as_json)
        context.exit(1)
    places = Places(source=models_yaml, output=output, values=values)
    plan = plan_import(read, environment, places)
    write_files(plan.files, force=force)
    if as_json:
        print_json(_as_json(plan, places))
    else:
        _print(plan, places)


def _environment(path: Path | None) -> ReadEnvironment:
    if path is None:
        return ReadEnvironment(OldEnvironment())
    try:
        return read_environment(path)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: is not UTF-8") from error


def _print_errors(errors: Sequence[InvalidManifest], *, as_json: bool) -> None:
    if as_json:
        print_json({"written": [], "errors": problems_as_json(errors)})
        return
    print_problems(errors)
    click.echo("Nothing was written.", err=True)


def _print(plan: Plan, places: Places) -> None:
    for note in plan.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"{len(plan.ids)} manifests and a kustomization.yaml are in {places.output}")
    click.echo(f"here:         {_up(plan, places)}")
    if places.values is None:
        click.echo(f"in a cluster: kubectl apply -k {shlex.quote(str(places.output))}")
        return
    click.echo(f"in a cluster: give {places.values} to helm, then kubectl apply -k {shlex.quote(str(places.output))}")
    for command in secret_commands(plan.old):
        click.echo(f"              {command}")


def _up(plan: Plan, places: Places) -> str:
    return shlex.join(["hfmodel", "up", str(places.output), *up_options(plan.old)])


def _as_json(plan: Plan, places: Places) -> dict[str, object]:
    return {
        "written": [str(path) for path in plan.files],
        "ids": plan.ids,
        "up": ["hfmodel", "up", str(places.output), *up_options(plan.old)],
        "values": helm_values(plan.old),
        "secrets": secret_commands(plan.old),
        "notes": plan.notes,
        "errors": [],
    }
