"""One run: a plan drawn from the seed, a crowd that asks, a killer that strikes, and what came of it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chaos.crowd import Crowd
from chaos.killer import Killer
from chaos.ledger import Entry, settle
from chaos.plan import Fault, draw
from chaos.questions import Question
from chaos.records import Strike
from chaos.rig import Rig

_FLOOD_FACTOR: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one seed came to."""

    rig: str
    seed: int
    seconds: float
    bound: int
    entries: tuple[Entry, ...]
    strikes: tuple[Strike, ...]
    missed: tuple[Fault, ...]
    versions: Mapping[str, str]


async def run(
    rig: Rig, *, seed: int, seconds: float, answers: Mapping[Question, str], report: Callable[[str], None]
) -> Run:
    """Strike at `rig` for `seconds` while a crowd asks it `answers`' questions; `report` is told the plan and strikes.

    Whatever was sent is waited for, and at the end every model is asked once more.
    """
    plan = draw(seed=seed, seconds=seconds, kinds=rig.kinds, gap=rig.gap)
    report(f"{rig.name}: seed {seed}, {seconds:g} s, {len(plan)} faults")
    for fault in plan:
        report(f"  planned {fault}")
    began = time.monotonic()

    def clock() -> float:
        return time.monotonic() - began

    size = round(_FLOOD_FACTOR * rig.bound)
    async with Crowd(url=rig.url, seed=seed, seconds=seconds, answers=answers, flood_size=size, clock=clock) as crowd:
        killer = Killer(rig=rig, flood=crowd.flood, clock=clock, report=report)
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.call())
            group.create_task(killer.carry_out(plan))
        await rig.heal()
        await crowd.once_each()
        records = sorted(crowd.records, key=lambda record: record.sent)
    return Run(
        rig=rig.name,
        seed=seed,
        seconds=seconds,
        bound=rig.bound,
        entries=settle(records, killer.strikes, bound=rig.bound),
        strikes=tuple(sorted(killer.strikes, key=lambda strike: strike.began)),
        missed=tuple(killer.missed),
        versions=rig.versions,
    )
