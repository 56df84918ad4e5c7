"""Which allocator a serving process takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hfmodel_runtime.allocator import installed, with_allocator

LIBRARY = "libtcmalloc_minimal.so.4"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three, of which the last two have the library."""
    made = [tmp_path / name for name in ("first", "second", "third")]
    for folder in made:
        folder.mkdir()
    for folder in made[1:]:
        (folder / LIBRARY).touch()
    return made


def test_the_first_that_is_installed_is_loaded_before_all_else(folders: list[Path]) -> None:
    found = installed(folders)
    assert found == folders[1] / LIBRARY
    assert with_allocator({"HOME": "/root"}, found) == {"HOME": "/root", "LD_PRELOAD": str(found)}


@pytest.mark.parametrize("chosen", ["/opt/libjemalloc.so.2", ""], ids=["another", "the system's"])
def test_who_has_chosen_keeps_what_was_chosen(folders: list[Path], chosen: str) -> None:
    assert with_allocator({"LD_PRELOAD": chosen}, installed(folders)) is None


def test_without_it_nothing_changes(folders: list[Path]) -> None:
    assert installed(folders[:1]) is None
    assert with_allocator({}, None) is None


def test_the_process_stays_the_same_with_its_arguments(tmp_path: Path) -> None:
    """The library is a file that is no library: the loader says so and goes on."""
    (tmp_path / LIBRARY).touch()
    program = tmp_path / "program.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "from hfmodel_runtime import allocator\n"
        "print(os.getpid(), sys.argv[1:], os.environ.get('LD_PRELOAD'), flush=True)\n"
        f"allocator._folders = lambda: [pathlib.Path({str(tmp_path)!r})]\n"
        "allocator.take_allocator()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = [sys.executable, str(program), "--one", "two words"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    before, after = done.stdout.splitlines()
    pid = before.split()[0]
    assert before == f"{pid} ['--one', 'two words'] None"
    assert after == f"{pid} ['--one', 'two words'] {tmp_path / LIBRARY}"
