"""What happens in a run, in order, as plain values: so that a run that fails can be cut down to what matters."""

import asyncio
import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulation.clients import Request, Result
from simulation.clock import run
from simulation.faults import FAULTS
from simulation.world import Setup, World, played


@dataclass(frozen=True, slots=True)
class Step:
    """Requests that come together, a fault right after them, and time. `fault` is a name in `faults`, or empty."""

    requests: tuple[Request, ...] = ()
    fault: str = ""
    where: int = 0  # which of the pods, processes or models it befalls
    pause: float = 1.0  # seconds until the next step


_BY_NAME = {fault.__name__: fault for fault in FAULTS}


def play(setup: Setup, steps: Sequence[Step]) -> list[Result]:
    """What came of every request. Raises Broken where something did not hold that must."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what fails here is meant to
    gc.disable()  # when it finds a task that nobody waits for is no part of the run
    try:
        return run(_play(setup, steps))
    finally:
        logging.disable(before)
        gc.enable()


async def _play(setup: Setup, steps: Sequence[Step]) -> list[Result]:
    world = World(setup)
    number = 0
    with played(world):
        try:
            await world.start()
            for step in steps:
                for request in step.requests:
                    number += 1
                    world.ask(replace(request, number=number))
                if step.fault:
                    world.befall(_BY_NAME[step.fault](world, step.where))
                await asyncio.sleep(step.pause)
            await world.finish()
        finally:
            await world.close()
    return world.results
