"""A copy of a collection follows it, whatever happens on the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmodel_router.kube import listwatch
from hfmodel_router.kube.errors import ApiError, Expired, Rejected, Unavailable
from hfmodel_router.kube.listwatch import LONGEST_PAUSE, Reflector, pause
from support.polling import until
from support.router_cluster import FakeCollection

LOST = Unavailable("connection lost")


def document(name: str, value: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value}


class Copy:
    """Implements `listwatch.Sink`; `bug` is raised once, by the next put."""

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self.bug: Exception | None = None

    def replace(self, items: Sequence[Any]) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}

    def put(self, item: Any) -> None:
        bug, self.bug = self.bug, None
        if bug is not None:
            raise bug
        self.items[item["metadata"]["name"]] = item

    def remove(self, name: str) -> None:
        self.items.pop(name, None)


class Pauses:
    """Sleeps for no time, and notes for how long it was asked to. A test may hold them."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.open = asyncio.Event()
        self.open.set()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)
        await self.open.wait()


class Rig:
    def __init__(self) -> None:
        self.source: FakeCollection[Any] = FakeCollection(lambda found: found)
        self.copy = Copy()
        self.pauses = Pauses()
        self.reflector = Reflector(self.source, self.copy, what="things", sleep=self.pauses.sleep)

    @property
    def in_step(self) -> bool:
        return self.copy.items == self.source.objects

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reflector.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    made.source.put(document("a"))
    async with made.running():
        await made.reflector.synced.wait()
        await until(lambda: len(made.source.watches) == 1)
        yield made


async def test_changes_arrive_without_another_list(rig: Rig) -> None:
    rig.source.put(document("b"))
    rig.source.put(document("a", 1))
    rig.source.remove("b")
    await until(lambda: rig.copy.items == {"a": document("a", 1)})
    assert (rig.source.lists, rig.pauses.asked) == (1, [])


@pytest.mark.parametrize("error", [LOST, Rejected("403"), None], ids=["lost", "no right", "ended by the server"])
async def test_a_watch_that_ends_goes_on_where_it_was(rig: Rig, error: ApiError | None) -> None:
    rig.source.put(document("b"))
    rig.source.bookmark()
    await until(lambda: "b" in rig.copy.items)
    rig.source.break_watches(error)
    rig.source.put(document("c"))
    await until(lambda: rig.in_step)
    assert rig.source.lists == 1
    assert rig.source.watches[0] == "1"
    assert rig.source.watches[1] in ("3", "4")
    assert len(rig.pauses.asked) == 1


async def test_a_version_that_is_too_old_means_a_new_list(rig: Rig) -> None:
    rig.source.break_watches(LOST)
    rig.source.remove("a")
    rig.source.put(document("b"))
    rig.source.forget()
    await until(lambda: rig.in_step)
    assert rig.source.lists == 2


async def test_what_was_known_stays_while_the_server_is_away(rig: Rig) -> None:
    rig.source.watch_errors = [LOST] * 5
    rig.source.list_errors = [LOST] * 5
    rig.source.break_watches(Expired("too old"))
    await until(lambda: len(rig.pauses.asked) >= 5)
    assert rig.copy.items == {"a": document("a")}
    await until(lambda: not rig.source.list_errors and not rig.source.watch_errors)
    rig.source.put(document("b"))
    await until(lambda: rig.in_step)


async def test_pauses_grow_up_to_a_bound(rig: Rig) -> None:
    rig.source.watch_errors = [LOST] * 12
    rig.source.break_watches(LOST)
    await until(lambda: len(rig.pauses.asked) >= 12)
    first, *_, last = rig.pauses.asked
    assert 0 < first < 0.5
    assert LONGEST_PAUSE / 2 <= last <= LONGEST_PAUSE


async def test_a_server_that_ends_each_watch_at_once_is_not_hammered(rig: Rig) -> None:
    for _ in range(8):
        seen = len(rig.source.watches)
        rig.source.break_watches()
        await until(lambda seen=seen: len(rig.source.watches) > seen)  # type: ignore[misc]
    assert len(rig.pauses.asked) == 8
    assert rig.pauses.asked[-1] > rig.pauses.asked[0]


async def test_a_watch_that_lasted_is_begun_anew_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listwatch, "_LASTED", 0.0)
    rig.source.break_watches()
    await until(lambda: len(rig.source.watches) == 2)
    assert rig.pauses.asked == []


async def test_a_bug_on_the_way_is_healed_by_a_list(rig: Rig) -> None:
    rig.copy.bug = ZeroDivisionError()
    rig.source.put(document("b"))
    await until(lambda: rig.in_step)
    assert rig.source.lists == 2


async def test_a_list_can_be_asked_for(rig: Rig) -> None:
    rig.copy.items.clear()
    await rig.reflector.relist()
    assert rig.in_step
    assert rig.source.lists == 2


async def test_a_list_that_is_asked_for_does_not_wait_for_a_pause(rig: Rig) -> None:
    rig.pauses.open.clear()
    rig.source.break_watches(LOST)
    await until(lambda: len(rig.pauses.asked) == 1)
    await rig.reflector.relist()
    assert rig.source.lists == 2


async def test_who_asks_for_a_list_hears_that_it_failed(rig: Rig) -> None:
    rig.source.list_errors = [LOST]
    with pytest.raises(Unavailable, match="connection lost"):
        await rig.reflector.relist()
    rig.source.put(document("b"))
    await until(lambda: rig.in_step)


@pytest.mark.parametrize("failures", [0, 1, 5, 10_000], ids=str)
def test_a_pause_is_bounded(failures: int) -> None:
    assert 0 < pause(failures) <= LONGEST_PAUSE


NAMES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.integers(0, 3)),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.sampled_from(["bookmark", "end", "lose", "expire", "forget", "fail list", "turn", "relist"])),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_the_copy_ends_up_as_a_new_list_would_be(steps: list[Any]) -> None:
    asyncio.run(_follow(steps))


async def _follow(steps: list[Any]) -> None:
    rig = Rig()
    relists: list[asyncio.Task[None]] = []
    source = rig.source
    acts: dict[str, Callable[..., object]] = {
        "put": lambda name, value: source.put(document(name, value)),
        "remove": source.remove,
        "bookmark": source.bookmark,
        "end": source.break_watches,
        "lose": lambda: source.break_watches(LOST),
        "expire": lambda: source.break_watches(Expired("too old")),
        "forget": source.forget,
        "fail list": lambda: source.list_errors.append(LOST),
        "relist": lambda: relists.append(asyncio.create_task(rig.reflector.relist())),
    }
    async with rig.running():
        for act, *arguments in steps:
            if act == "turn":
                await asyncio.sleep(0)
            else:
                acts[act](*arguments)
        source.put(document("last"))
        async with asyncio.timeout(5):
            await asyncio.gather(*relists, return_exceptions=True)
            await until(lambda: rig.in_step)
