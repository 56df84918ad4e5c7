"""`hfmodel-runtime cache`: look at a cache, and take out of it what nobody needs."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from hfmodel_api.sizes import human_bytes, parse_bytes
from hfmodel_runtime.fetch.cache_report import as_json, held_bytes, row, summary, table
from hfmodel_runtime.fetch.collect import enough_of, may_go, remove
from hfmodel_runtime.fetch.inventory import Item, State, items
from hfmodel_runtime.fetch.keep import KeepList, drop_keeper, keep_lists
from hfmodel_runtime.fetch.units import parse_age

_EXIT_FAILED = 1
_ABOUT = "Look at a cache of models, and take out of it what nobody needs."
_PRUNE = """Deletes what nobody needs: what a deletion or a download left that was cut off, and, with --unused-for or
--limit, models, the least recently used first. What a keeper names stays, and what was used within ten minutes."""


def main(argv: list[str]) -> int:
    """0 done; 1 the cache is not there or cannot be changed; 2 wrong arguments."""
    arguments = _parser().parse_args(argv)
    root: Path = arguments.cache_dir.absolute()
    if not root.is_dir():
        print(f"there is no cache at {root}: name another with --cache-dir", file=sys.stderr)
        return _EXIT_FAILED
    try:
        command: Callable[[Path, argparse.Namespace], int] = arguments.command
        return command(root, arguments)
    except OSError as error:
        where = error.filename or root
        print(f"the cache {root} cannot be used: {error.strerror or error} ({where})", file=sys.stderr)
        return _EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hfmodel-runtime cache", description=_ABOUT, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="{list,prune}")
    listing = commands.add_parser("list", help="show what is in it", allow_abbrev=False)
    listing.set_defaults(command=_list)
    prune = commands.add_parser("prune", help="delete what nobody needs", description=_PRUNE, allow_abbrev=False)
    prune.set_defaults(command=_prune)
    prune.add_argument(
        "--unused-for", type=_argument(parse_age), metavar="AGE", help="models too, unused for: 30d, 12h"
    )
    prune.add_argument("--limit", type=_argument(parse_bytes), metavar="SIZE", help="models too, until it fits: 40Gi")
    prune.add_argument("--forget", metavar="KEEPER", help="first drop what this keeper said must stay")
    prune.add_argument("--dry-run", action="store_true", help="tell what would go, delete nothing")
    for command in (listing, prune):
        default = os.environ.get("HFMODEL_CACHE")
        command.add_argument(
            "--cache-dir", type=Path, metavar="DIR", required=default is None, default=default and Path(default)
        )
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


def _argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def converted(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def _list(root: Path, arguments: argparse.Namespace) -> int:
    found, lists = items(root), keep_lists(root)
    found.sort(key=lambda item: (item.model, -item.used_at))
    free = shutil.disk_usage(root).free
    if arguments.json:
        _print_json(
            {"cache": str(root), "bytes": held_bytes(found), "free_bytes": free},
            {"entries": [as_json(item, lists) for item in found]},
        )
        return 0
    if found:
        print(table([row(item, lists, now=time.time()) for item in found]))
    print(summary(found, free=free))
    return 0


def _prune(root: Path, arguments: argparse.Namespace) -> int:
    lists = keep_lists(root)
    if (keeper := arguments.forget) is not None:
        if keeper not in {each.keeper for each in lists}:
            known = ", ".join(sorted({each.keeper for each in lists})) or "none"
            print(f"there is no keeper {keeper!r}; there are: {known}", file=sys.stderr)
            return _EXIT_FAILED
        lists = [each for each in lists if each.keeper != keeper]
        if not arguments.dry_run:
            drop_keeper(root, keeper)
    found = items(root)
    going = _going(found, lists, unused_for=arguments.unused_for, limit=arguments.limit, now=time.time())
    removed = going if arguments.dry_run else [item for item in going if remove(item)]
    before, after = held_bytes(found), held_bytes(item for item in found if item not in removed)
    _tell(removed, before=before, after=after, arguments=arguments)
    return _over(after, arguments.limit)


def _going(
    found: list[Item], lists: Collection[KeepList], *, unused_for: timedelta | None, limit: int | None, now: float
) -> list[Item]:
    """What is to be deleted, in this order."""
    free = may_go(found, lists, now=now)
    going = [item for item in free if item.state is not State.PUBLISHED or _unused(item, unused_for, now)]
    if limit is None:
        return going
    first = [*going, *(item for item in free if item not in going)]
    enough = enough_of(first, found, most=limit)
    return first if enough is None else enough if len(enough) > len(going) else going


def _unused(item: Item, unused_for: timedelta | None, now: float) -> bool:
    return unused_for is not None and now - item.used_at >= unused_for.total_seconds()


def _tell(removed: list[Item], *, before: int, after: int, arguments: argparse.Namespace) -> None:
    if arguments.json:
        facts = {"dry_run": arguments.dry_run, "bytes": after, "freed_bytes": before - after}
        _print_json(facts, {"removed": [as_json(item, ()) for item in removed]})
        return
    if removed:
        print(table([row(item, (), now=time.time()) for item in removed]))
    verb = "would be removed" if arguments.dry_run else "removed"
    print(f"{len(removed)} {verb}, {human_bytes(before - after)}; {human_bytes(after)} stay")


def _over(after: int, limit: int | None) -> int:
    if limit is None or after <= limit:
        return 0
    message = f"the cache is still {human_bytes(after - limit)} over {human_bytes(limit)}: what stays is kept or in use"
    print(message, file=sys.stderr)
    return _EXIT_FAILED


def _print_json(*parts: dict[str, Any]) -> None:
    print(json.dumps({key: value for part in parts for key, value in part.items()}, indent=2))
