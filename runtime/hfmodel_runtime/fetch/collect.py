"""Taking models out of the cache: the least recently used first, never one that must stay, never half of one.

What goes is renamed away first, so that nobody finds a part of it, and deleted then; whoever is killed in between
leaves trash, which the next one deletes. A fetch that answers with a published model touches it before it looks at it.
So either the touch comes before the rename, and is seen after it: the model is put back; or it comes after, and the
fetch finds nothing. This holds where locks do not, too; where they do, what somebody fetches is passed over at once.
"""

import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from hfmodel_api.sizes import human_bytes
from hfmodel_runtime.fetch.cache import Entry, touch, trash_of
from hfmodel_runtime.fetch.inventory import Item, State, last_use, total_bytes
from hfmodel_runtime.fetch.keep import KeepList, covered, keep_lists
from hfmodel_runtime.fetch.lock import held_at_once

logger = logging.getLogger(__name__)

# Nothing that was used or written to within this time goes: whoever did may be about to say that it must stay.
RECENT_SECONDS = 600.0


def may_go(
    items: Iterable[Item], lists: Collection[KeepList], *, now: float, spare: Collection[Entry] = ()
) -> list[Item]:
    """Those that nobody needs, in the order in which they should go: trash, then the least recently used. Pure."""
    free = [
        item
        for item in items
        if item.entry not in spare
        and (item.state is State.TRASH or not (covered(item.entry, lists) or now - item.used_at < RECENT_SECONDS))
    ]
    return sorted(free, key=lambda item: (item.state is not State.TRASH, item.used_at, str(item.path)))


def enough_of(candidates: Sequence[Item], items: Sequence[Item], *, most: int) -> list[Item] | None:
    """The first of `candidates` without which `items` take `most` bytes; None if all of them are too few. Pure."""
    for count in range(len(candidates) + 1):
        going = candidates[:count]
        if total_bytes(item for item in items if item not in going) <= most:
            return list(going)
    return None


def remove(item: Item) -> bool:
    """Delete it, unless somebody fetches it, has used it since, or wants it to stay by now. Raises OSError."""
    with held_at_once(item.entry.lock) as mine:
        if not mine:
            return False
        if item.state is State.TRASH:
            shutil.rmtree(item.path, ignore_errors=True)
            return not item.path.exists()
        return _remove(item, wanted=lambda: covered(item.entry, keep_lists(item.entry.root)))


def _remove(item: Item, *, wanted: Callable[[], bool]) -> bool:
    if last_use(item.path, item.state) != item.used_at or wanted():
        return False
    trash = trash_of(item.entry)
    trash.parent.mkdir(parents=True, exist_ok=True)
    try:
        item.path.rename(trash)
    except FileNotFoundError:
        return False
    if last_use(trash, item.state) != item.used_at or wanted():
        _put_back(trash, item.path)
        return False
    shutil.rmtree(trash, ignore_errors=True)
    logger.info("collected path=%s bytes=%s", item.path, human_bytes(item.bytes))
    return True


def _put_back(trash: Path, path: Path) -> None:
    try:
        trash.rename(path)
    except OSError:
        # Somebody has published the same meanwhile.
        shutil.rmtree(trash, ignore_errors=True)


def touch_kept(items: Iterable[Item], keep: KeepList) -> None:
    """What is named is used: once nobody names it any more, its last use is when somebody last did."""
    for item in items:
        if item.state is State.PUBLISHED and keep.covers(item.entry):
            touch(item.path)
