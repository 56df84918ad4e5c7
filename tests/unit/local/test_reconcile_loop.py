"""The loop: never lost, never twice at once, never dead."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from hfmodel_api.status import HFModelStatus, Phase
from hfmodel_cli.local.fetches import Fetches, Progress
from hfmodel_cli.local.loop import Reconciler
from hfmodel_cli.local.pods import PodOptions, Pods
from hfmodel_cli.local.processes import Launch, LaunchFailed, RuntimeProcess
from hfmodel_cli.local.registry import Registry
from hfmodel_operator.observed import Observed, Settings
from hfmodel_operator.plan import CreatePod, DeletePod, Plan, Prefetch, RetirePod
from hfmodel_operator.runtime_client import RuntimeClient
from hfmodel_operator.source import Fetched, Source
from support.alive import eventually
from support.local_values import NOON, hfmodel


class NoLauncher:
    async def launch(self, launch: Launch) -> RuntimeProcess:
        raise LaunchFailed("nothing is started here")


class Nothing:
    def __init__(self) -> None:
        self.fetched: list[Source] = []

    async def fetch(self, source: Source, progress: Progress) -> Fetched:
        self.fetched.append(source)
        return Fetched("/models/m")


class Loop:
    """A reconciler whose plans are the test's."""

    def __init__(self, directory: Path, session: aiohttp.ClientSession) -> None:
        self.called = asyncio.Event()
        self.plan: Callable[[Observed], Plan] = lambda _: Plan()
        self.rounds: list[Observed] = []
        self.registry = Registry(now=lambda: NOON, changed=self.called.set)
        self.fetcher = Nothing()
        self.fetches = Fetches(self.fetcher, now=lambda: NOON, changed=lambda _: None)
        self.pods = Pods(
            launcher=NoLauncher(),
            fetches=self.fetches,
            client=RuntimeClient(session),
            owner=self.registry,
            options=PodOptions(directory=directory),
            now=lambda: NOON,
        )
        self.reconciler = Reconciler(
            registry=self.registry,
            pods=self.pods,
            fetches=self.fetches,
            decide=self._decide,
            settings=Settings,
            now=lambda: NOON,
            called=self.called,
        )

    def _decide(self, observed: Observed, settings: Settings, now: datetime) -> Plan:
        self.rounds.append(observed)
        return self.plan(observed)


@pytest.fixture
async def loop(tmp_path: Path) -> AsyncIterator[Loop]:
    async with aiohttp.ClientSession() as session:
        made = Loop(tmp_path, session)
        yield made
        await made.pods.close(within=0)
        await made.fetches.close()


@pytest.fixture
async def running(loop: Loop) -> AsyncIterator[Loop]:
    task = asyncio.create_task(loop.reconciler.run())
    await eventually(lambda: loop.rounds)
    yield loop
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_every_change_calls_for_a_round_that_sees_it(running: Loop) -> None:
    running.registry.set_models({"m": hfmodel()})
    await eventually(lambda: len(running.rounds[-1].models) == 1)
    running.registry.want("m")
    await eventually(lambda: running.rounds[-1].models[0].demand.wanted_at == NOON)


async def test_a_change_during_a_round_calls_for_another(running: Loop) -> None:
    def plan(observed: Observed) -> Plan:
        if not observed.models:
            running.registry.set_models({"m": hfmodel()})
        return Plan()

    running.plan = plan
    running.called.set()
    await eventually(lambda: len(running.rounds[-1].models) == 1)


async def test_a_round_that_fails_is_made_good_by_the_next(running: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: Observed) -> Plan:
        raise RuntimeError("a bug")

    running.plan = fails
    running.registry.set_models({"m": hfmodel()})
    await eventually(lambda: "round_failed" in caplog.text)
    running.plan = lambda _: Plan(statuses={"m": HFModelStatus(phase=Phase.ASLEEP)})
    running.called.set()
    await eventually(lambda: next(iter(running.registry)).status.phase is Phase.ASLEEP)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(None, 30.0, id="nothing-due"),
        pytest.param(3.0, 3.0, id="due-later"),
        pytest.param(-3.0, 0.02, id="overdue-does-not-spin"),
        pytest.param(100.0, 30.0, id="healed-before"),
    ],
)
async def test_when_it_looks_again(loop: Loop, seconds: float | None, expected: float) -> None:
    due = None if seconds is None else NOON + timedelta(seconds=seconds)
    loop.plan = lambda _: Plan(look_again_at=due)
    assert await loop.reconciler.round() == expected


async def test_a_plan_about_what_has_changed_meanwhile_does_nothing(loop: Loop) -> None:
    loop.registry.set_models({"m": hfmodel()})
    loop.plan = lambda _: Plan(
        deletes=(DeletePod("m", "m-gone", "uid", "why"),),
        retires=(RetirePod("m", "m-gone", "uid", 0),),
        prefetches=(Prefetch("removed"),),
        creates=(CreatePod("m", "hash of another spec"), CreatePod("removed", "hash")),
        statuses={"removed": HFModelStatus()},
    )
    await loop.reconciler.round()
    assert loop.pods.all() == ()
    assert loop.fetcher.fetched == []


async def test_a_pod_that_was_created_is_seen_by_the_next_round(loop: Loop) -> None:
    loop.registry.set_models({"m": hfmodel()})
    loop.plan = lambda seen: Plan(creates=(CreatePod("m", seen.models[0].template_hash),) * (not seen.models[0].pods))
    for _ in range(3):
        await loop.reconciler.round()
    assert len(loop.rounds[-1].models[0].pods) == 1
    assert loop.rounds[-1].models[0].pods[0].template_hash == loop.rounds[-1].models[0].template_hash
