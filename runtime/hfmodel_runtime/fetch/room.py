"""Room for a download: within the cache's limit, and on its volume."""

import logging
import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.cache import Entry
from hfmodel_runtime.fetch.collect import enough_of, may_go, remove
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.inventory import RESERVED, Item, items, total_bytes
from hfmodel_runtime.fetch.keep import KeepList, covered, keep_lists
from hfmodel_runtime.fetch.lock import held
from hfmodel_runtime.fetch.sizes import ensure_space
from hfmodel_runtime.fetch.tally import Tally

logger = logging.getLogger(__name__)

_NAMED = 3  # models that a message names at most


@dataclass(slots=True, kw_only=True)
class Room:
    """Where `entry` is to come. With a limit, what nobody needs goes for it; without one, nothing ever does.

    Args:
        keep: what the caller needs. Without it nobody knows what may go, so nothing does.
    """

    entry: Entry
    limit: int | None = None  # bytes
    keep: KeepList | None = None
    tally: Tally = field(default_factory=Tally)

    def ensure(self, directory: Path, *, needed: int, what: str) -> None:
        """Make room for `needed` bytes in `directory`, below the staging directory of the entry.

        Raises:
            FetchFailure: NoSpace. Then nothing was collected for it, unless somebody else came in between.
        """
        if self.limit is not None:
            # One at a time: two that look at the same moment would both count on the same room.
            with held(self.entry.root / "locks" / "collect.lock", waiting=lambda: None):
                self._collect(self.limit, needed=needed, what=what)
                self._reserve(needed)
        ensure_space(directory, needed=needed, what=what)

    def _collect(self, limit: int, *, needed: int, what: str) -> None:
        busy: list[Entry] = []
        while True:
            found = self._items()
            total = total_bytes(found)
            most = min(limit - needed, total - max(0, needed - shutil.disk_usage(self.entry.root).free))
            if total <= most:
                return
            lists = self._lists()
            candidates = may_go(found, lists, now=time.time(), spare=(self.entry, *busy)) if self.keep else []
            going = enough_of(candidates, found, most=most)
            if going is None:
                if total <= limit - needed:
                    return  # the volume is too small, not the limit: whoever looks at the volume says so
                raise self._too_little(limit, needed=needed, what=what, found=found, lists=lists)
            for item in going:
                if remove(item):
                    self.tally.collected(item.bytes)
                else:
                    busy.append(item.entry)

    def _items(self) -> list[Item]:
        # What this fetch has reserved before does not count twice.
        return [item if item.path != self.entry.staging else _unreserved(item) for item in items(self.entry.root)]

    def _lists(self) -> list[KeepList]:
        return [*keep_lists(self.entry.root), *([self.keep] if self.keep else [])]

    def _reserve(self, needed: int) -> None:
        present = sum(item.bytes for item in self._items() if item.path == self.entry.staging)
        self.entry.staging.mkdir(parents=True, exist_ok=True)
        temporary = self.entry.staging / f"{RESERVED}.{os.getpid()}"
        temporary.write_text(str(present + needed), encoding="ascii")
        temporary.replace(self.entry.staging / RESERVED)

    def _too_little(
        self, limit: int, *, needed: int, what: str, found: list[Item], lists: list[KeepList]
    ) -> FetchFailure:
        stays = [item for item in found if covered(item.entry, lists)]
        names = sorted({item.model for item in stays})
        message = f"no room for {what}: {human_bytes(needed)} ({needed} bytes) needed, the cache holds "
        message += f"{human_bytes(total_bytes(found))} and its limit is {human_bytes(limit)} ({limit} bytes). "
        if self.keep is None:
            message += "Nothing was removed, since this fetch was not told what must stay (--keeper, --keep). "
        elif names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            message += f"{human_bytes(total_bytes(stays))} must stay: {', '.join(names[:_NAMED])}{more}. "
        return FetchFailure(Reason.NO_SPACE, f"{message}Raise the limit (HFMODEL_CACHE_LIMIT), or name fewer models.")


def _unreserved(item: Item) -> Item:
    return replace(item, reserved=0)
