"""`hfmodel-runtime`: its subcommands, and what it must not import before the port is open."""

import subprocess
import sys

import pytest

from hfmodel_runtime.main import main


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--version"]])
def test_help_and_version(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    assert "hfmodel-runtime" in capsys.readouterr().out


@pytest.mark.parametrize(("argv", "says"), [([], "a command is required"), (["sevre"], "no command 'sevre'")])
def test_a_wrong_command_is_named(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "fetch", "zygote", "cache"])
def test_every_subcommand_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert command in capsys.readouterr().out


def test_the_port_can_open_before_torch_is_imported() -> None:
    program = """
import sys
import hfmodel_runtime.main, hfmodel_runtime.settings, hfmodel_runtime.server.serve
heavy = {"torch", "transformers", "numpy", "fastapi"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_a_port_in_use_is_one_sentence() -> None:
    program = """
import socket, sys
from pathlib import Path
from hfmodel_runtime.server.serve import serve
from hfmodel_runtime.settings import ServeSettings
with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
    sys.exit(serve(ServeSettings(model_dir=Path("/nowhere"), model_id="m", port=port)))
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 1
    (line,) = outcome.stderr.splitlines()
    assert "cannot listen on 127.0.0.1" in line
    assert "in use" in line
