"""What can go wrong, each as one act on the world."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from simulation.node import Place
from simulation.world import World


def _place(world: World, number: int) -> Place | None:
    places = list(world.node.places.values())
    return places[number % len(places)] if places else None


async def crash_container(world: World, number: int) -> None:
    """SIGKILL, or the kernel's out-of-memory killer."""
    place = _place(world, number)
    if place is not None and place.container is not None and place.container.alive:
        world.crashes += 1
        place.container.died.set()


async def delete_pod(world: World, number: int) -> None:
    """A person, or a drain: in good order."""
    if (place := _place(world, number)) is not None:
        world.delete_pod(place)


async def force_delete_pod(world: World, number: int) -> None:
    """The object is gone at once, the process right after."""
    if (place := _place(world, number)) is not None:
        world.crashes += 1
        world.server.remove("pods", place.name, place.uid)


async def hide_pod(world: World, number: int) -> None:
    """The operator cannot reach a pod for 20 s; the routers can."""
    if (place := _place(world, number)) is not None:
        world.for_a_while(20.0, lambda: place.hidden_from.add("operator"), lambda: place.hidden_from.clear())


async def fail_next_load(world: World, _number: int) -> None:
    world.node.failing_loads += 1


async def kill_operator(world: World, number: int) -> None:
    await world.kill_operator(number)


async def stop_operator(world: World, number: int) -> None:
    """SIGSTOP for longer than its Lease lasts."""
    process = world.operators[number % len(world.operators)].line.process
    world.for_a_while(25.0, process.goes_on.clear, process.goes_on.set)


async def kill_router(world: World, number: int) -> None:
    await world.kill_router(number)


async def roll_router(world: World, number: int) -> None:
    """A new one comes up, then the old one goes in good order."""
    await world.roll_router(number)


async def api_server_away(world: World, _number: int) -> None:
    world.set_away(8.0)


async def lose_answers(world: World, _number: int) -> None:
    """Half of all writes are carried out, and nobody is told, for 10 s."""

    def begin() -> None:
        world.weather.losses = 0.5

    def end() -> None:
        world.weather.losses = 0.0

    world.for_a_while(10.0, begin, end)


async def break_watches(world: World, _number: int) -> None:
    for line in world.lines():
        line.break_watches()


async def change_spec(world: World, number: int) -> None:
    """A roll-out."""
    world.change_spec(number)


async def unload(world: World, number: int) -> None:
    """A caller lets a model go that others may be using."""
    world.release(number)


FAULTS: Final[tuple[Callable[[World, int], Coroutine[Any, Any, None]], ...]] = (
    crash_container,
    delete_pod,
    force_delete_pod,
    hide_pod,
    fail_next_load,
    kill_operator,
    stop_operator,
    kill_router,
    roll_router,
    api_server_away,
    lose_answers,
    break_watches,
    change_spec,
    unload,
)
