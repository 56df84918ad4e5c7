"""Carries out a plan of faults, each at its time, whatever the ones before it are still up to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from chaos.plan import Fault, Kind
from chaos.records import Strike
from chaos.rig import Hit, Rig


@dataclass(slots=True, kw_only=True)
class Killer:
    """`flood` fills the queue of one model; `clock` gives seconds since the start; `report` is told of each strike."""

    rig: Rig
    flood: Callable[[Fault], Awaitable[Hit]]
    clock: Callable[[], float]
    report: Callable[[str], None]
    strikes: list[Strike] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)  # there was nothing to hit

    async def carry_out(self, plan: Sequence[Fault]) -> None:
        """Returns when every fault is over."""
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await asyncio.sleep(max(0.0, fault.at - self.clock()))
                group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        began = self.clock()
        hit = await (self.flood(fault) if fault.kind is Kind.FLOOD else self.rig.strike(fault))
        if hit is None:
            self.missed.append(fault)
            self.report(f"{fault} (nothing to hit)")
            return
        over = self.clock()
        self.strikes.append(Strike(kind=fault.kind, target=hit.target, model=hit.model, began=began, over=over))
        self.report(f"{fault}: {hit.target} (over after {over - began:.1f} s)")
