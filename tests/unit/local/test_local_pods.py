"""Processes as pods, with real processes that pretend to be runtimes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hfmodel_api.status import Reason
from hfmodel_cli.local.fetches import Fetches, FetchFailed, Progress
from hfmodel_cli.local.pod import Pod
from hfmodel_cli.local.pods import PodOptions, Pods
from hfmodel_cli.local.zygote import Zygote
from hfmodel_operator.observed import PodFailure, PodState
from hfmodel_operator.runtime_client import RuntimeClient
from hfmodel_operator.source import Fetched, Source
from support.alive import alive, eventually
from support.local_values import Clock, hfmodel

NO_REPO = PodFailure(Reason.REPO_NOT_FOUND, "no such repo", permanent=True)


@dataclass
class StubFetcher:
    """Finds everything at once, unless told otherwise."""

    failure: PodFailure | None = None
    blocked: asyncio.Event | None = None
    fetched: list[Source] = field(default_factory=list)

    async def fetch(self, source: Source, progress: Progress) -> Fetched:
        self.fetched.append(source)
        if self.blocked is not None:
            await self.blocked.wait()
        if self.failure is not None:
            raise FetchFailed(self.failure)
        return Fetched("/models/m", "abc")


@dataclass
class Books:
    """Writes down what it is told."""

    ready: list[Pod] = field(default_factory=list)
    failed: list[tuple[Pod, PodFailure]] = field(default_factory=list)

    def pod_ready(self, pod: Pod) -> None:
        self.ready.append(pod)

    def pod_failed(self, pod: Pod, failure: PodFailure) -> None:
        self.failed.append((pod, failure))

    def pod_changed(self, pod: Pod) -> None:
        """Nobody waits for it."""


@dataclass
class World:
    pods: Pods
    books: Books
    fetcher: StubFetcher
    session: aiohttp.ClientSession
    clock: Clock

    def create(self, how: str = "") -> Pod:
        return self.pods.create(hfmodel("m", env=[{"name": "FAKE", "value": how}] if how else []))

    async def ready(self, how: str = "") -> Pod:
        pod = self.create(how)
        await eventually(lambda: pod.state is PodState.READY, f"{pod.failure}")
        return pod

    async def control(self, pod: Pod, **answers: Any) -> None:
        assert pod.process is not None
        async with self.session.post(f"{pod.process.url}/control", json=answers) as response:
            assert response.status == 200

    async def refresh(self) -> None:
        await self.pods.refresh(wait=20)


@pytest.fixture
async def world(zygote: Zygote, tmp_path: Path) -> AsyncIterator[World]:
    books, fetcher, clock = Books(), StubFetcher(), Clock()
    async with aiohttp.ClientSession() as session:
        pods = Pods(
            launcher=zygote,
            fetches=Fetches(fetcher, now=clock, changed=lambda _: None),
            client=RuntimeClient(session, timeout=0.5),
            owner=books,
            options=PodOptions(directory=tmp_path, drain_timeout=0.2, grace=0.1),
            now=clock,
        )
        yield World(pods, books, fetcher, session, clock)
        await pods.close(within=0)


async def test_a_pod_is_fetched_then_started_then_ready(world: World, tmp_path: Path) -> None:
    world.fetcher.blocked = asyncio.Event()
    pod = world.create("loading")
    await eventually(lambda: world.fetcher.fetched)
    assert pod.state is PodState.FETCHING
    world.fetcher.blocked.set()
    await eventually(lambda: pod.process is not None)
    assert (pod.state, pod.url) == (PodState.STARTING, None)
    await world.control(pod, ready=True)
    await eventually(lambda: pod.state is PodState.READY)
    assert pod.process is not None
    assert pod.url == pod.process.url
    assert world.books.ready == [pod]
    async with world.session.get(f"{pod.url}/about") as response:
        settings = (await response.json())["settings"]
    assert settings["model_dir"] == "/models/m"
    assert settings["revision"] == "abc"
    assert settings["termination_log"] == str(tmp_path / f"{pod.name}.termination")


async def test_a_pod_with_nothing_to_do_retires_and_goes_without_a_trace(world: World, tmp_path: Path) -> None:
    pod = await world.ready()
    await world.control(pod, idle=42.0)
    await world.refresh()
    assert pod.activity is not None
    assert pod.activity.idle_seconds == 42.0
    assert await world.pods.retire(pod, 10)
    assert (pod.state, pod.url) == (PodState.RETIRED, None)
    world.pods.delete(pod)
    await eventually(lambda: not world.pods.all())
    assert pod.process is not None
    assert not alive(pod.process.pid)
    assert files_in(tmp_path) == ["zygote.log"]
    assert world.books.failed == []


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_busy_pod_does_not_retire(world: World) -> None:
    pod = await world.ready()
    await world.control(pod, running=1)
    assert not await world.pods.retire(pod, 0)
    assert pod.state is PodState.READY


async def test_a_retirement_that_nobody_follows_up_ends(world: World) -> None:
    pod = await world.ready()
    assert await world.pods.retire(pod, 0)
    await world.control(pod, retired=False)
    await world.refresh()
    assert pod.state is PodState.READY


@pytest.mark.parametrize(
    ("how", "reason", "message", "permanent"),
    [
        pytest.param("refuse", Reason.WEIGHTS_INVALID, "cut short", True, id="it-says-why"),
        pytest.param("exit=3", Reason.CRASH_LOOP, "exit code 3. fake runtime of m | it said boom", False, id="crash"),
    ],
)
async def test_a_pod_that_ends_while_it_starts_has_failed(
    world: World, how: str, reason: Reason, message: str, permanent: bool
) -> None:
    pod = world.create(how)
    await eventually(lambda: pod.state is PodState.FAILED)
    assert pod.failure is not None
    assert (pod.failure.reason, pod.failure.permanent) == (reason, permanent)
    assert message in pod.failure.message
    assert world.books.failed == [(pod, pod.failure)]
    assert pod.url is None
    world.pods.delete(pod)
    assert world.pods.all() == ()


async def test_a_failed_fetch_fails_the_pod_with_its_reason(world: World) -> None:
    world.fetcher.failure = NO_REPO
    pod = world.create()
    await eventually(lambda: pod.state is PodState.FAILED)
    assert world.books.failed == [(pod, NO_REPO)]


async def test_after_a_crash_the_weights_are_looked_at_again(world: World) -> None:
    crashed = world.create("exit=1")
    await eventually(lambda: crashed.state is PodState.FAILED)
    await world.ready()
    await world.ready()
    assert len(world.fetcher.fetched) == 2


@pytest.mark.parametrize("state", [PodState.FETCHING, PodState.STARTING], ids=str)
async def test_a_pod_can_be_deleted_before_it_is_ready(world: World, state: PodState) -> None:
    world.fetcher.blocked = asyncio.Event()
    pod = world.create("loading")
    if state is PodState.STARTING:
        world.fetcher.blocked.set()
    await eventually(lambda: pod.state is state)
    world.pods.delete(pod)
    world.pods.delete(pod)
    await eventually(lambda: not world.pods.all())
    assert pod.process is None or not alive(pod.process.pid)
    assert world.books.failed == []


async def test_a_pod_that_does_not_go_is_killed(world: World) -> None:
    pod = await world.ready("stubborn")
    world.pods.delete(pod)
    assert pod.state is PodState.GOING
    await eventually(lambda: not world.pods.all())


async def test_a_pod_whose_engine_has_failed_is_ended(world: World) -> None:
    pod = await world.ready()
    await world.control(pod, dead=True)
    await world.refresh()
    await eventually(lambda: pod.state is PodState.FAILED)
    assert pod.failure is not None
    assert "its engine has failed" in pod.failure.message


async def test_a_pod_that_hangs_is_ended_and_is_never_idle_before(world: World) -> None:
    pod = await world.ready()
    await world.refresh()
    assert pod.process is not None
    os.kill(pod.process.pid, signal.SIGSTOP)
    await world.refresh()
    assert pod.activity is None
    assert pod.state is PodState.READY
    world.clock.advance(61)
    await world.refresh()
    await eventually(lambda: pod.state is PodState.FAILED)
    assert pod.failure is not None
    assert "did not answer for 60 s" in pod.failure.message


async def test_only_the_very_pod_is_found(world: World) -> None:
    pod = await world.ready()
    assert world.pods.find(pod.name, pod.uid) is pod
    assert world.pods.find(pod.name, "of another life") is None


async def test_a_log_that_grows_too_long_is_emptied(world: World) -> None:
    pod = await world.ready()
    with pod.log.open("ab") as log:
        log.truncate(17 << 20)
    await world.refresh()
    assert pod.log.stat().st_size == 0
