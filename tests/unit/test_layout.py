"""Rules of the repository that no linter knows."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("crds", "operator", "router", "runtime", "cli")


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_no_module_lies_directly_in_a_source_root(root: str) -> None:
    # operator/__init__.py would shadow the standard library's `operator` for every command run from here.
    assert [path.name for path in (REPOSITORY / root).glob("*.py")] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").rglob("*.md"),
    ]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", document.read_text())
    ]
    assert [
        f"{document.name} -> {target}" for document, target in links if not (document.parent / target).exists()
    ] == []


def test_make_help_shows_the_front_door() -> None:
    listed = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert {"demo", "test", "check", "help"} <= set(re.findall(r"^  make ([a-z-]+)", listed, flags=re.MULTILINE))
