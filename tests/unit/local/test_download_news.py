"""A download as the person at the terminal hears of it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from hfmodel_api.status import CacheStatus, Reason
from hfmodel_cli.local.announce import Announcer, News
from hfmodel_cli.local.fetches import FetchState
from hfmodel_cli.local.registry import Registry
from hfmodel_operator.observed import PodFailure
from hfmodel_operator.source import Fetched
from support.local_values import NOON, hfmodel


class Listener:
    def __init__(self) -> None:
        self.told: list[object] = []

    def say(self, news: News) -> None:
        self.told.append(news.text)

    def progress(self, model_id: str, cache: CacheStatus | None) -> None:
        self.told.append(None if cache is None else cache.bytes)


@pytest.fixture
async def download() -> AsyncIterator[tuple[FetchState, Listener, Callable[[], None]]]:
    """A fetch under way, who hears of it, and a call that says there is news of it."""

    async def endless() -> Fetched:
        await asyncio.Event().wait()
        return Fetched("")

    state, listener = FetchState(task=asyncio.create_task(endless())), Listener()
    registry = Registry(now=lambda: NOON, changed=lambda: None)
    registry.subscribe(Announcer(registry, listener, lambda _: state).changed)
    registry.set_models({"m": hfmodel()})
    listener.told.clear()
    yield state, listener, lambda: registry.notify("m")
    assert state.task is not None
    state.task.cancel()


async def end(state: FetchState) -> None:
    assert state.task is not None
    state.task.cancel()
    await asyncio.gather(state.task, return_exceptions=True)


async def test_it_begins_when_bytes_move_and_ends_with_its_size(
    download: tuple[FetchState, Listener, Callable[[], None]],
) -> None:
    state, listener, news = download
    for done in (1, 2):
        state.cache = CacheStatus(bytes=done * 1_000_000, total_bytes=3_000_000)
        news()
    await end(state)
    state.cache = CacheStatus(bytes=3_000_000, total_bytes=3_000_000)
    news()
    assert listener.told == ["fetching", 1_000_000, 2_000_000, "fetched (3 MB)", None]


async def test_one_that_finds_all_there_is_no_news(download: tuple[FetchState, Listener, Callable[[], None]]) -> None:
    state, listener, news = download
    state.cache = CacheStatus(bytes=5, total_bytes=5)
    news()
    await end(state)
    news()
    assert listener.told == [5, None]


async def test_one_that_fails_is_not_fetched(download: tuple[FetchState, Listener, Callable[[], None]]) -> None:
    state, listener, news = download
    state.cache = CacheStatus(bytes=1)
    news()
    await end(state)
    state.failed(PodFailure(Reason.NO_SPACE, "the disk is full"), NOON)
    news()
    assert listener.told == ["fetching", 1, None]
