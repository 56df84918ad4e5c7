from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from hfmodel_cli.main import cli
from support.scripted_router import ScriptedRouter, scripted_router

Hfmodel = Callable[..., Result]


@pytest.fixture
def router() -> Iterator[ScriptedRouter]:
    with scripted_router() as script:
        yield script


@pytest.fixture
def hfmodel(router: ScriptedRouter) -> Hfmodel:
    """Runs `hfmodel` against the scripted router, with pipes for terminals."""

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner(env={"HFMODEL_URL": router.url}).invoke(cli, arguments, input=stdin)

    return run
