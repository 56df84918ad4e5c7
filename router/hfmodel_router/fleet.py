"""What the router needs to know of the world, and the little it asks of it.

Kubernetes (watches of HFModels and Pods) and local processes are two adapters of `Fleet`; tests have a third.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hfmodel_api.spec import HFModel
from hfmodel_api.status import CacheStatus, LastStart, Phase


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod that takes requests now: ready, and not known to be going."""

    name: str  # of the pod; unique over its life
    url: str  # "http://10.88.0.7:8080", no slash at the end


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a model cannot start, in words for the caller; ends its held requests early."""

    reason: str  # a status.Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """One model as the fleet last saw it."""

    model: HFModel
    phase: Phase = Phase.ASLEEP
    endpoints: tuple[Endpoint, ...] = ()
    problem: Problem | None = None  # set only while waiting longer cannot help
    message: str = ""  # the Ready condition's sentence, for lists
    start_seconds: float | None = None  # measured from wanted to ready: the ETA of a wake
    last_start: LastStart | None = None  # where its seconds went
    last_active: datetime | None = None
    cache: CacheStatus | None = None
    resolved_revision: str | None = None
    has_token: bool = False  # a Hugging Face token is configured for it (never the token itself)

    @property
    def loaded(self) -> bool:
        return bool(self.endpoints)

    @property
    def loading(self) -> bool:
        return not self.endpoints and self.phase is Phase.STARTING


class Fleet(Protocol):
    """The models there are, where they answer, and how to ask for more or fewer.

    Reading is from memory and never blocks; it goes on from what was last known while the source is away.
    """

    def catalogue(self) -> Mapping[str, ModelState]:
        """Every model by id, in the order they were declared. A snapshot: later changes do not show in it."""

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed(model_id)` in the event loop after each change of a model (also its coming and going).

        Returns a function that ends the subscription. To wait without losing a wake-up: subscribe, look, then wait.
        """

    async def want(self, model_id: str) -> None:
        """Somebody waits for this model: wake it. Cheap to repeat; the router limits how often it does."""

    async def release(self, model_id: str) -> None:
        """Nobody needs this model: let it go as soon as it is idle. A later `want` wins."""

    async def resync(self) -> None:
        """Look at the source again now (the old server's reload-config)."""
