"""The folder of one `hfmodel up`: its own, and gone afterwards, however it ended."""

import subprocess
import sys
from pathlib import Path

import pytest

from hfmodel_cli.local.errors import CannotStart
from hfmodel_cli.local.statedir import state_directory


def folders(cache: Path) -> list[Path]:
    return [path for path in (cache / "run").iterdir() if path.is_dir()]


def test_it_is_gone_afterwards(tmp_path: Path) -> None:
    with state_directory(tmp_path) as directory:
        (directory / "a.log").write_text("text")
        assert folders(tmp_path) == [directory]
        assert directory.stat().st_mode & 0o077 == 0
    assert folders(tmp_path) == []


def test_two_programs_do_not_take_each_others(tmp_path: Path) -> None:
    with state_directory(tmp_path) as one, state_directory(tmp_path) as two:
        assert sorted(folders(tmp_path)) == sorted([one, two])


def test_what_a_killed_program_left_is_removed(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, signal
from hfmodel_cli.local.statedir import state_directory
with state_directory(pathlib.Path({str(tmp_path)!r})) as directory:
    (directory / "left.log").write_text("text")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders(tmp_path)] == [["left.log", "lock"]]
    with state_directory(tmp_path) as directory:
        assert folders(tmp_path) == [directory]


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"cannot be used: .*--cache-dir"), state_directory(tmp_path / "file"):
        pytest.fail("it started")
