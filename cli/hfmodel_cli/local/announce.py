"""What happens to models, as single lines for whoever watches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hfmodel_api.status import CacheStatus, Condition, ConditionType, Phase, Reason
from hfmodel_cli.local.fetches import FetchState
from hfmodel_cli.local.registry import Record, Registry

_MEGABYTE = 1_000_000
_NORMAL = frozenset({Reason.FETCHING, Reason.STARTING})


@dataclass(frozen=True, slots=True)
class News:
    """One line about one model."""

    model_id: str
    text: str
    is_bad: bool = False


class Audience(Protocol):
    """Who is told."""

    def say(self, news: News) -> None: ...

    def progress(self, model_id: str, cache: CacheStatus | None) -> None:
        """Bytes of a download that runs; None once it does not."""


@dataclass(frozen=True, slots=True)
class _Seen:
    phase: Phase
    reason: str
    message: str


class Announcer:
    """Tells an audience when a model's standing changes. Subscribe `changed`."""

    def __init__(self, registry: Registry, audience: Audience, fetch_of: Callable[[Record], FetchState]) -> None:
        self._registry = registry
        self._audience = audience
        self._fetch_of = fetch_of
        self._seen: dict[str, _Seen | None] = {}
        self._fetching: set[str] = set()

    def changed(self, model_id: str) -> None:
        record = self._registry.get(model_id)
        if record is None:
            if model_id in self._seen:
                del self._seen[model_id]
                self._audience.say(News(model_id, "removed"))
                self._audience.progress(model_id, None)
            return
        self._follow_fetch(record)
        before = self._seen.get(model_id)
        now = self._seen[model_id] = _standing(record) or before
        if now is not None and now != before and (news := _news(record, before, now)) is not None:
            self._audience.say(news)

    def _follow_fetch(self, record: Record) -> None:
        """Fetching is news once bytes move: most fetches only find that all is there."""
        model_id, fetch = record.model.id, self._fetch_of(record)
        cache = fetch.cache if fetch.running else None
        if cache is not None and cache.bytes != cache.total_bytes and model_id not in self._fetching:
            self._fetching.add(model_id)
            self._audience.say(News(model_id, "fetching"))
        elif not fetch.running and model_id in self._fetching:
            self._fetching.remove(model_id)
            if fetch.failure is None:
                self._audience.say(News(model_id, f"fetched{_size(fetch.cache)}"))
        self._audience.progress(model_id, cache)


def _standing(record: Record) -> _Seen | None:
    ready = _ready(record.status.conditions)
    return None if ready is None else _Seen(record.status.phase, ready.reason, ready.message)


def _ready(conditions: tuple[Condition, ...]) -> Condition | None:
    return next((each for each in conditions if each.type is ConditionType.READY), None)


def _news(record: Record, before: _Seen | None, now: _Seen) -> News | None:
    model_id = record.model.id
    was = before.phase if before is not None else None
    match now.phase:
        case Phase.READY if was is not Phase.READY:
            return News(model_id, f"ready in {record.start_seconds:.1f} s" if record.start_seconds else "ready")
        case Phase.ASLEEP if was in (Phase.READY, Phase.RETIRING):
            return News(model_id, "asleep; the next request wakes it")
        case Phase.FAILED:
            return News(model_id, f"failed ({now.reason}): {now.message}", is_bad=True)
        case Phase.STARTING | Phase.FETCHING:
            return _on_its_way(model_id, before, now)
    return None


def _on_its_way(model_id: str, before: _Seen | None, now: _Seen) -> News | None:
    if before is not None and before.reason == now.reason:
        return None
    match now.reason:
        case Reason.FETCHING | Reason.STARTING:
            is_on_its_way = before is not None and before.phase is now.phase and before.reason in _NORMAL
            return None if is_on_its_way or now.phase is Phase.FETCHING else News(model_id, "waking")
        case Reason.POOL_FULL:
            return News(model_id, now.message)
    return News(model_id, f"failed ({now.reason}): {now.message}", is_bad=True)


def _size(cache: CacheStatus | None) -> str:
    return f" ({cache.bytes / _MEGABYTE:.0f} MB)" if cache is not None and cache.bytes else ""
