"""What a look remembers of each model for the next one, and how long a model may be left alone. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.books import Book
from hfmodel_operator.cluster.facts import Facts, Need
from hfmodel_operator.cluster.parsed import Parsed
from hfmodel_operator.cluster.pod_state import Heard
from hfmodel_operator.observed import Observed, ObservedModel
from hfmodel_operator.source import Fetched


class Parts(NamedTuple):
    """The objects that an observation of one model is made of."""

    thing: Json
    pods: tuple[Json, ...]
    jobs: tuple[Json, ...]
    fetch_pods: tuple[Json, ...]
    heard: tuple[Heard, ...]  # one for each of the pods


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One model as it was looked at."""

    parts: Parts
    parsed: Parsed
    wanted_hash: str
    model: ObservedModel
    book: Book
    fetched: Fetched | None  # where it is known to be in the cache
    kept: tuple[str, ...]  # what must stay in the cache for it
    facts: tuple[tuple[Need, bool | None], ...]  # what it needs, and whether that was there

    def still_is(self, parts: Parts, facts: Facts) -> bool:
        """Whether all that it was made of is the same now."""
        return self.parts == parts and all(facts.get(need) == fact for need, fact in self.facts)


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is to be done about a model in this time, as long as it is as it was."""

    since: datetime
    until: datetime
    due: datetime | None  # when it must be decided on, if time alone calls for that

    def lasts(self, now: datetime) -> bool:
        return self.since <= now < self.until  # the clock may be set back


def rests(
    due: Mapping[str, datetime | None], awake: Observed, *, now: datetime, longest: Callable[[], timedelta]
) -> dict[str, Rest]:
    """By the uid of the model, for what a plan lets rest of those that it decided on.

    Args:
        due: by model id, when time alone calls for a decision.
        longest: after which one is looked at in any case; models that get different answers do not all come at once.
    """
    found = {}
    for model in (each.model for each in awake.models if each.model.id in due):
        until = due[model.id]
        checked = now + longest()
        found[model.uid] = Rest(now, checked if until is None else min(until, checked), until)
    return found
