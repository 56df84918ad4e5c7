"""What the chaos runs on, and what it can do there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chaos.plan import Fault, Kind


@dataclass(frozen=True, slots=True)
class Hit:
    """What a fault hit: a part, or a pod of `model`."""

    target: str
    model: str = ""


class Rig(Protocol):
    """A running hfmodel that serves `questions.MODELS`."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """Of the router, or of the Service in front of several."""

    @property
    def bound(self) -> int:
        """As many requests for one model are never refused."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """What can be done here."""

    @property
    def gap(self) -> tuple[float, float]:
        """Fewest and most seconds between two faults."""

    @property
    def versions(self) -> dict[str, str]:
        """Of what runs here and is no Python package of this project."""

    async def strike(self, fault: Fault) -> Hit | None:
        """Carry out `fault`; returns once what it hit is dead, or whole again. None: there was nothing to hit."""

    async def heal(self) -> None:
        """Return once every part runs again."""

    def logs(self) -> str:
        """What its parts said last, for a person who looks for the cause of a loss."""
