"""Holding on its own: single-flight wakes, bounds, deadlines, early ends, and no wake-up lost."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmodel_api.errors import ModelFailed, ModelNotFound, NotReady, Overloaded
from hfmodel_api.status import Reason
from hfmodel_router.fleet import ModelState
from hfmodel_router.hold import HoldRoom
from hfmodel_router.metrics import Metrics
from hfmodel_router.settings import RouterSettings
from support.fake_fleet import FakeFleet, model
from support.polling import until

FOREVER = float("inf")
URL = "http://pod"


def _room(fleet: FakeFleet, **options: Any) -> HoldRoom:
    # By default nothing happens by the passing of time: a test that needs it to would hang.
    patient = {"want_interval": 1000.0, "problem_grace": 1000.0}
    room = HoldRoom(fleet=fleet, settings=RouterSettings(**patient | options), metrics=Metrics())
    fleet.subscribe(room.changed)
    return room


@pytest.fixture
async def room(fleet: FakeFleet) -> HoldRoom:
    return _room(fleet)


def _url(state: ModelState) -> str | None:
    return state.endpoints[0].url if state.endpoints else None


async def _held(room: HoldRoom, *, until: float = FOREVER, model_id: str = "smollm2") -> str | None:
    with room.enter(model_id) as hold:
        return await hold.wait(_url, until=until)


def _wanting() -> bool:
    return any(task.get_name() == "want smollm2" for task in asyncio.all_tasks())


async def _start(room: HoldRoom, count: int = 1) -> list[asyncio.Task[str | None]]:
    """So many held requests, each of which has begun to wait."""
    tasks = [asyncio.create_task(_held(room)) for _ in range(count)]
    await until(lambda: room.held("smollm2") == count)
    return tasks


async def test_all_who_wait_go_when_the_model_is_ready_after_one_want(fleet: FakeFleet, room: HoldRoom) -> None:
    tasks = await _start(room, 200)
    await fleet.wanted.wait()
    fleet.serve("smollm2", URL)
    assert await asyncio.gather(*tasks) == [URL] * 200
    assert fleet.wants == ["smollm2"]
    assert room.held("smollm2") == 0


async def test_who_does_not_wait_wakes_the_model_all_the_same(fleet: FakeFleet, room: HoldRoom) -> None:
    assert await _held(room, until=0.0) is None
    await until(lambda: not _wanting())
    assert fleet.wants == ["smollm2"]


async def test_a_model_is_wanted_again_and_again_while_somebody_waits(fleet: FakeFleet) -> None:
    room = _room(fleet, want_interval=0.01)
    [task] = await _start(room)
    await until(lambda: len(fleet.wants) >= 3)
    fleet.serve("smollm2", URL)
    await task
    await until(lambda: not _wanting())


async def test_a_want_that_fails_is_repeated(fleet: FakeFleet) -> None:
    room = _room(fleet, want_interval=0.01)
    fleet.want_error = RuntimeError("the API server is away")
    [task] = await _start(room)
    await until(lambda: len(fleet.wants) >= 2)
    fleet.want_error = None
    fleet.serve("smollm2", URL)
    assert await task == URL


async def test_those_who_come_and_go_quickly_do_not_multiply_wants(fleet: FakeFleet, room: HoldRoom) -> None:
    for _ in range(5):
        [task] = await _start(room)
        await fleet.wanted.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert fleet.wants == ["smollm2"]


@pytest.mark.parametrize("went", ["it slept again", "it was unloaded"])
async def test_a_model_that_went_is_wanted_at_once(fleet: FakeFleet, room: HoldRoom, went: str) -> None:
    [first] = await _start(room)
    await fleet.wanted.wait()
    if went == "it slept again":
        fleet.serve("smollm2", URL)
        await first
        fleet.serve("smollm2")
    else:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        room.released("smollm2")
    fleet.wanted.clear()
    [second] = await _start(room)
    await fleet.wanted.wait()
    second.cancel()
    assert len(fleet.wants) == 2


async def test_the_deadline_ends_a_hold(fleet: FakeFleet, room: HoldRoom) -> None:
    assert await _held(room, until=asyncio.get_running_loop().time() + 0.01) is None
    assert room.held("smollm2") == 0


async def test_a_deadline_of_now_still_wakes_the_model(fleet: FakeFleet, room: HoldRoom) -> None:
    with room.enter("smollm2") as hold:
        assert await hold.wait(_url, until=0) is None
        await fleet.wanted.wait()


async def test_beyond_the_bound_of_a_model_nobody_else_may_wait(fleet: FakeFleet) -> None:
    fleet.change("smollm2", start_seconds=3.4)
    room = _room(fleet, max_held_per_model=2)
    tasks = await _start(room, 2)
    with pytest.raises(Overloaded) as caught:
        await _held(room)
    assert caught.value.headers() == {"retry-after": "4"}
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    replacement = asyncio.create_task(_held(room))
    fleet.serve("smollm2", URL)
    assert set(await asyncio.gather(tasks[1], replacement)) == {URL}


async def test_beyond_the_bound_of_a_model_whose_pods_are_full_they_say_how_long(fleet: FakeFleet) -> None:
    room = _room(fleet, max_held_per_model=1)
    with room.enter("smollm2"):
        fleet.serve("smollm2", URL)
        room.busy("smollm2", 6.2)
        with pytest.raises(Overloaded) as caught:
            await _held(room)
    assert caught.value.headers() == {"retry-after": "7"}
    room.busy("smollm2", 6.2)  # nobody waits: nothing to remember it for


async def test_the_total_is_bounded_over_all_models(fleet: FakeFleet) -> None:
    fleet.add(model("other"))
    room = _room(fleet, max_held_total=1)
    [task] = await _start(room)
    with pytest.raises(Overloaded):
        await _held(room, model_id="other")
    task.cancel()


async def test_a_request_that_comes_back_keeps_its_right_to_a_place(fleet: FakeFleet) -> None:
    room = _room(fleet, max_held_per_model=1)
    [task] = await _start(room)
    with room.enter("smollm2", again=True):
        assert room.held("smollm2") == 2
    task.cancel()


async def test_removing_the_model_ends_its_holds(fleet: FakeFleet, room: HoldRoom) -> None:
    [task] = await _start(room)
    fleet.remove("smollm2")
    with pytest.raises(ModelNotFound, match="removed"):
        await task


async def test_closing_ends_all_holds(fleet: FakeFleet, room: HoldRoom) -> None:
    [task] = await _start(room)
    room.close(NotReady("going"))
    with pytest.raises(NotReady):
        await task
    with pytest.raises(NotReady):
        await _held(room)


async def test_a_client_that_leaves_frees_its_place_and_the_last_one_ends_the_wanting(
    fleet: FakeFleet, room: HoldRoom
) -> None:
    tasks = await _start(room, 2)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    assert room.held("smollm2") == 1
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert room.held("smollm2") == 0
    await until(lambda: not _wanting())


async def test_a_problem_that_comes_up_ends_holds_with_its_reason(fleet: FakeFleet, room: HoldRoom) -> None:
    tasks = await _start(room, 3)
    await fleet.wanted.wait()
    fleet.fail("smollm2", Reason.OUT_OF_MEMORY, "needs 80 GB")
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ModelFailed] * 3
    assert "needs 80 GB" in str(results[0])
    assert isinstance(results[0], ModelFailed)
    assert results[0].reason == "OutOfMemory"


async def test_a_problem_left_over_does_not_end_a_hold_that_the_next_try_answers(
    fleet: FakeFleet, room: HoldRoom
) -> None:
    fleet.fail("smollm2", Reason.CRASH_LOOP)
    fleet.on_want = fleet.heal
    [task] = await _start(room)
    await fleet.wanted.wait()
    fleet.serve("smollm2", URL)
    assert await task == URL


async def test_a_left_over_problem_that_comes_back_after_a_try_ends_the_hold(fleet: FakeFleet, room: HoldRoom) -> None:
    fleet.fail("smollm2", Reason.CRASH_LOOP)
    fleet.on_want = fleet.heal
    [task] = await _start(room)
    await fleet.wanted.wait()
    fleet.fail("smollm2", Reason.CRASH_LOOP)
    with pytest.raises(ModelFailed):
        await task


async def test_a_left_over_problem_that_stands_ends_the_hold_after_a_grace(fleet: FakeFleet) -> None:
    room = _room(fleet, problem_grace=0.02)
    fleet.fail("smollm2", Reason.CRASH_LOOP)
    with pytest.raises(ModelFailed):
        await _held(room)
    assert fleet.wants == ["smollm2"]


async def test_a_problem_that_ended_a_hold_ends_the_next_at_once_until_the_next_want(fleet: FakeFleet) -> None:
    room = _room(fleet, problem_grace=0.02)
    fleet.fail("smollm2", Reason.CRASH_LOOP)
    with pytest.raises(ModelFailed):
        await _held(room)
    with room.enter("smollm2") as hold, pytest.raises(ModelFailed):
        hold.wait(_url, until=FOREVER).send(None)


@pytest.mark.parametrize("reason", [Reason.INVALID_SPEC, Reason.SOURCE_NOT_SUPPORTED, Reason.PROFILE_UNKNOWN])
async def test_what_no_try_can_change_ends_a_hold_at_once_and_is_tried_all_the_same(
    fleet: FakeFleet, room: HoldRoom, reason: Reason
) -> None:
    fleet.fail("smollm2", reason)
    with room.enter("smollm2") as hold:
        with pytest.raises(ModelFailed):
            hold.wait(_url, until=FOREVER).send(None)
        await fleet.wanted.wait()


async def test_a_hold_that_does_not_wake_ignores_problems(fleet: FakeFleet, room: HoldRoom) -> None:
    fleet.fail("smollm2", Reason.INVALID_SPEC)
    with room.enter("smollm2", wake=False) as hold:
        assert await hold.wait(_url, until=0) is None
    assert fleet.wants == []


Step = tuple[str, int]
STEPS = st.lists(st.tuples(st.sampled_from(["join", "leave", "ready", "sleep", "noise", "turn"]), st.integers(0, 5)))


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_wake_up_is_lost_whatever_happens_in_between(steps: list[Step]) -> None:
    """Whoever still waits at the end is answered once the model is ready, and nothing is left behind."""
    asyncio.run(_play(steps))


async def _play(steps: list[Step]) -> None:
    fleet = FakeFleet(model())
    room = _room(fleet)
    waiting: list[asyncio.Task[str | None]] = []
    for action, which in steps:
        match action:
            case "join":
                waiting.append(asyncio.create_task(_held(room)))
            case "leave" if waiting:
                waiting.pop(which % len(waiting)).cancel()
            case "ready":
                fleet.serve("smollm2", URL)
            case "sleep":
                fleet.serve("smollm2")
            case "noise":
                fleet.change("smollm2", message=f"{which} %")
            case "turn":
                for _ in range(which):
                    await asyncio.sleep(0)
    fleet.serve("smollm2", URL)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [URL] * len(waiting)
        await until(lambda: room.held("smollm2") == 0)
