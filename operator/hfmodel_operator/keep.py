"""What must stay in a cache with a limit: all that is named or runs, as `hfmodel-runtime fetch --keep` takes it. Pure.

docs/cache.md has what the list means. A cluster and one machine make theirs here.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from hfmodel_operator.source import Source

# The list reaches a fetch as one variable or as arguments, and the kernel takes 128 KiB of either.
LONGEST_LIST: Final = 128 * 1024 - 256  # bytes
_LONGEST_KEEPER: Final = 250  # bytes; a keeper is the name of a folder
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")  # of a folder that a fetch has made
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Needed:
    """What one HFModel or one pod needs. `path`: what its fetch printed; None while that is not known."""

    source: Source
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """All that a keeper needs, as of a time in seconds since 1970 by its own clock."""

    keeper: str
    names: tuple[str, ...]  # sorted; spaces only in the path of the cache itself
    as_of: float

    @property
    def fits(self) -> bool:
        """Whether it can be handed to a fetch at all."""
        return sum(len(name.encode()) + 1 for name in self.names) <= LONGEST_LIST


def keep_names(needed: Iterable[Needed], *, cache_dir: str) -> tuple[str, ...]:
    """Each a path in the cache, a repository with a commit, or a repository as a whole where the commit is unknown."""
    models = PurePosixPath(cache_dir) / "models"
    return tuple(sorted({name for need in needed for name in _names(need, models)}))


def _names(need: Needed, models: PurePosixPath) -> tuple[str, ...]:
    if need.path is not None:
        path = PurePosixPath(need.path)
        # What lies elsewhere is served where it is; what no fetch has made is never removed.
        ours = path.parent.parent == models and all(map(_NAME.fullmatch, path.parts[-2:]))
        return (str(path),) if ours else ()
    source = need.source
    if source.path is not None:
        return _conversions(PurePosixPath(source.path))
    return (f"{source.model}@{source.revision}" if _COMMIT.fullmatch(source.revision) else source.model,)


def _conversions(path: PurePosixPath) -> tuple[str, ...]:
    """What a fetch of `path` may call its conversion: by the folder's name, or by the file's without `.gguf`."""
    names = [path.name, path.stem] if path.suffix.lower() == ".gguf" else [path.name]
    return tuple(f"local--{_NOT_A_NAME.sub('-', name)}" for name in names)


def keeper_name(name: str) -> str:
    """`name`, or where that is too long for the name of a folder, one of the same beginning that stays the same."""
    if len(quote(name, safe="").replace(".", "%2E")) <= _LONGEST_KEEPER:
        return name
    return f"{name.partition(':')[0][:32]}:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
