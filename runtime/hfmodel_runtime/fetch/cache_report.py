"""What a cache holds, as rows for people and as JSON for programs. Pure."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from hfmodel_api.sizes import human_bytes
from hfmodel_runtime.fetch.inventory import Item, State
from hfmodel_runtime.fetch.keep import KeepList, keepers_of

HEADERS = ("MODEL", "COMMIT", "BRANCHES", "SIZE", "LAST USED", "STATE", "KEPT BY")
_COMMIT_LENGTH = 12
_GAP = "  "


def as_json(item: Item, lists: Collection[KeepList]) -> dict[str, Any]:
    return {
        "model": item.model,
        "commit": item.entry.key.removesuffix("-code"),
        "with_code": item.entry.key.endswith("-code"),
        "branches": list(item.branches),
        "bytes": item.bytes,
        "last_used": datetime.fromtimestamp(item.used_at, UTC).isoformat(timespec="seconds"),
        "state": item.state.value,
        "kept_by": _keepers(item, lists),
        "path": str(item.path),
    }


def row(item: Item, lists: Collection[KeepList], *, now: float) -> tuple[str, ...]:
    commit, _, code = item.entry.key.partition("-")
    return (
        item.model,
        commit[:_COMMIT_LENGTH] + (" with code" if code else ""),
        ", ".join(item.branches) or "-",
        human_bytes(item.bytes),
        f"{_age(now - item.used_at)} ago",
        item.state.value,
        ", ".join(_keepers(item, lists)) or "-",
    )


def table(rows: Sequence[Sequence[str]], *, headers: Sequence[str] = HEADERS) -> str:
    """Columns, a line for each row, without the last line feed."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = (
        _GAP.join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)) for each in (headers, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def summary(items: Collection[Item], *, free: int) -> str:
    """`3 models, 12.3 GB; 20.0 GB free on the volume`; what other models link to counts once."""
    published = sum(item.state is State.PUBLISHED for item in items)
    others = len(items) - published
    leftovers = f" and {_count(others, 'leftover')}" if others else ""
    what = f"{_count(published, 'model')}{leftovers}"
    return f"{what}, {human_bytes(held_bytes(items))}; {human_bytes(free)} free on the volume"


def held_bytes(items: Iterable[Item]) -> int:
    """On the volume now, nothing that is only reserved."""
    return sum({key: size for item in items for key, size in item.files.items()}.values())


def _keepers(item: Item, lists: Collection[KeepList]) -> list[str]:
    return [] if item.state is State.TRASH else list(keepers_of(item.entry, lists))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _age(seconds: float) -> str:
    """`3m` and the like, as kubectl shows ages."""
    count = int(max(seconds, 0.0))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if count >= 2 * size:
            return f"{count // size}{unit}"
    return f"{count}s"
