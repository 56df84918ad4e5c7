"""What goes into a build, and that an image is built anew when that changes, and only then."""

from pathlib import Path

import pytest

from cluster.errors import ClusterError
from images.build import REPOSITORY
from images.context import context_digest, context_files

ARGUMENTS = {"VERSION": "1"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "Dockerfile.operator", "operator/op/main.py", "tests/test_op.py", ".git/HEAD"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text("# why\n*\n!pyproject.toml\n!operator\n**/__pycache__\n")
    return tmp_path


def digest(repository: Path, arguments: dict[str, str] = ARGUMENTS) -> str:
    return context_digest(repository, dockerfile="Dockerfile.operator", arguments=arguments)


def test_only_what_is_let_in_is_part_of_a_build(repository: Path) -> None:
    (repository / "operator/op/__pycache__").mkdir()
    (repository / "operator/op/__pycache__/main.cpython-311.pyc").touch()
    assert [str(file.relative_to(repository)) for file in context_files(repository)] == [
        "operator/op/main.py",
        "pyproject.toml",
    ]


@pytest.mark.parametrize("changed", ["operator/op/main.py", "pyproject.toml", "Dockerfile.operator", ".dockerignore"])
def test_a_change_of_what_is_built_changes_the_digest(repository: Path, changed: str) -> None:
    before = digest(repository)
    with (repository / changed).open("a") as file:
        file.write("\n# more\n")
    assert digest(repository) != before


def test_a_file_that_becomes_executable_changes_the_digest(repository: Path) -> None:
    before = digest(repository)
    (repository / "operator/op/main.py").chmod(0o755)
    assert digest(repository) != before


def test_other_arguments_change_the_digest(repository: Path) -> None:
    assert digest(repository, {"VERSION": "2"}) != digest(repository)


@pytest.mark.parametrize("changed", ["tests/test_op.py", ".git/HEAD", "operator/op/main.pyc", "notes.md"])
def test_a_change_of_anything_else_does_not(repository: Path, changed: str) -> None:
    before = digest(repository)
    (repository / changed).write_text("other")
    assert digest(repository) == before


def test_a_dockerignore_that_cannot_be_read_is_an_error(repository: Path) -> None:
    (repository / ".dockerignore").write_text(".git\n")
    with pytest.raises(ClusterError, match=r"must begin with \*"):
        digest(repository)


def test_the_wheel_can_be_built_of_what_ours_lets_in() -> None:
    inside = {file.relative_to(REPOSITORY).parts[0] for file in context_files(REPOSITORY)}
    assert {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "crds",
        "operator",
        "router",
        "runtime",
    } <= inside
    assert inside.isdisjoint({".git", ".venv", ".demo", "tests", "docs"})
