"""Writes several files, all or none of them."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hfmodel_cli.errors import Refused

_SHOWN = 5


def write_files(files: Mapping[Path, str], *, force: bool) -> None:
    """Write each text at its path, making folders as needed. Without `force`, nothing that exists is replaced.

    Raises:
        Refused: one of them exists, or cannot be written; then nothing was changed.
    """
    in_the_way = [path for path in files if path.is_dir() or (not force and os.path.lexists(path))]
    if in_the_way:
        names = ", ".join(map(str, in_the_way[:_SHOWN]))
        more = f" and {len(in_the_way) - _SHOWN} more" if len(in_the_way) > _SHOWN else ""
        raise Refused(f"there already: {names}{more}. Nothing was written; choose another place, or --force")
    with contextlib.ExitStack() as tidy, contextlib.ExitStack() as undo:
        try:
            drafts = {path: _draft(path, text, undo) for path, text in files.items()}
            for path, draft in drafts.items():
                restore = _way_back(path, tidy)
                draft.replace(path)
                undo.callback(restore)
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror or error}. Nothing was written") from error
        undo.pop_all()


def _draft(path: Path, text: str, undo: contextlib.ExitStack) -> Path:
    """A file beside `path` with its text; a rename then puts it there whole."""
    _make_folder(path.parent, undo)
    draft = _beside(path)
    undo.callback(draft.unlink, missing_ok=True)
    draft.write_text(text, encoding="utf-8")
    return draft


def _way_back(path: Path, tidy: contextlib.ExitStack) -> Callable[[], object]:
    """What brings back whatever is at `path` now."""
    if not os.path.lexists(path):
        return path.unlink
    copy = _beside(path)
    tidy.callback(copy.unlink, missing_ok=True)
    shutil.copy2(path, copy, follow_symlinks=False)
    return partial(copy.replace, path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")


def _make_folder(folder: Path, undo: contextlib.ExitStack) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, undo)
        folder.mkdir()
        undo.callback(folder.rmdir)
