"""`hfmodel cache`: the weights on this machine.

What a cache holds and what may go is the runtime's to say, as in a container of its image; this starts it.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hfmodel_api.names import SECRET_VARIABLES
from hfmodel_cli.commands.options import json_option
from hfmodel_cli.commands.up import default_cache_dir
from hfmodel_cli.text import printable

_WRONG_USAGE = 2

_folder = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="[default: that of `hfmodel up`: $HFMODEL_CACHE, else $HF_HOME/hfmodel, else ~/.cache/hfmodel]",
)


@click.group()
def cache() -> None:
    """Look at the models that are downloaded, and delete what nobody needs.

    In a cluster the same commands are in the runtime's image: hfmodel-runtime cache list, hfmodel-runtime cache prune.
    """


@cache.command("list")
@_folder
@json_option
def list_cache(cache_dir: Path | None, as_json: bool) -> None:
    """Show what is in the cache, how big it is, and when it was last used."""
    _run("list", cache_dir, ["--json"] if as_json else [])


@cache.command()
@click.option("--unused-for", metavar="AGE", help="Models too that were not used for so long: 30d, 12h.")
@click.option("--limit", metavar="SIZE", help="Models too, the least recently used first, until it fits: 40Gi, 500GB.")
@click.option(
    "--forget", metavar="KEEPER", help="First drop what this keeper said must stay (see KEPT BY in the list)."
)
@click.option("--dry-run", is_flag=True, help="Tell what would go, delete nothing.")
@_folder
@json_option
def prune(
    unused_for: str | None, limit: str | None, forget: str | None, dry_run: bool, cache_dir: Path | None, as_json: bool
) -> None:
    """Delete what nobody needs.

    Without options that is what a deletion or a download left that was cut off; with --unused-for or --limit models
    too. What a keeper names stays, and what was used within ten minutes.
    """
    given = (("--unused-for", unused_for), ("--limit", limit), ("--forget", forget))
    options = [f"{name}={value}" for name, value in given if value is not None]
    options += ["--dry-run"] * dry_run + ["--json"] * as_json
    _run("prune", cache_dir, options)


def _run(command: str, cache_dir: Path | None, options: Sequence[str]) -> None:
    """Print what the runtime says. Raises click.ClickException, with its sentence."""
    folder = (cache_dir or default_cache_dir(os.environ)).expanduser().absolute()
    done = subprocess.run(
        [sys.executable, "-m", "hfmodel_runtime", "cache", command, f"--cache-dir={folder}", *options],
        env={name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    click.echo(printable(done.stdout) if sys.stdout.isatty() else done.stdout, nl=False)
    said = printable(done.stderr).strip()
    if done.returncode == _WRONG_USAGE:
        # After the usage of a command that nobody here has typed.
        raise click.UsageError(said.rpartition("error: ")[2])
    if done.returncode != 0:
        raise click.ClickException(said or f"hfmodel-runtime ended with {done.returncode}")
    if said:
        click.echo(said, err=True)
