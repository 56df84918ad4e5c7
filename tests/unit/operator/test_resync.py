"""Listing everything anew holds up nobody, once there is something to decide on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from hfmodel_operator.cluster.api import HFMODELS, Json, KubeApi, KubeError, Listing, Resource
from hfmodel_operator.cluster.apply import Applier
from hfmodel_operator.cluster.events import Recorder
from hfmodel_operator.cluster.hearing import Hearing
from hfmodel_operator.cluster.loop import Reconciler
from hfmodel_operator.cluster.store import Store
from hfmodel_operator.cluster.world import World
from hfmodel_operator.observed import Observed, Settings
from hfmodel_operator.plan import Plan
from support.kube_objects import NOON, SETTINGS, model_object

RESYNC = SETTINGS.resync_seconds


class Api(KubeApi):
    """Lists one HFModel, once it may."""

    def __init__(self) -> None:
        self.may_list = asyncio.Event()
        self.may_list.set()
        self.failure: KubeError | None = None
        self.listed = 0

    async def list(self, resource: Resource, *, labels: Mapping[str, str] | None = None) -> Listing:
        await self.may_list.wait()
        if self.failure is not None:
            raise self.failure
        self.listed += resource is HFMODELS
        return Listing((model_object(),) if resource is HFMODELS else (), "1")

    async def get(self, resource: Resource, name: str, *, metadata_only: bool = False) -> Json | None:
        return {}


@dataclass
class Held:
    held: bool = True


class Rounds:
    """A reconciler, what its rounds decided on, and the time by its clock."""

    def __init__(self) -> None:
        self.api, self.lease, self.called, self.seconds = Api(), Held(), asyncio.Event(), 0.0
        self.decided_on: list[list[str]] = []
        store, hearing = Store(self.called.set), Hearing(_Nobody(), lambda: NOON)
        self.reconciler = Reconciler(
            api=self.api,
            store=store,
            hearing=hearing,
            world=World(self.api, lambda: NOON),
            applier=Applier(
                self.api,
                store=store,
                hearing=hearing,
                recorder=Recorder(self.api),
                settings=SETTINGS,
                now=lambda: NOON,
            ),
            lease=self.lease,
            decide=self._decide,
            cluster=SETTINGS,
            settings=Settings(),
            now=lambda: NOON,
            called=self.called,
            monotonic=lambda: self.seconds,
        )

    async def round(self) -> float:
        async with asyncio.timeout(5):
            return await self.reconciler.round()

    def _decide(self, observed: Observed, *_: Any) -> Plan:
        self.decided_on.append([model.model.id for model in observed.models])
        return Plan()


class _Nobody:
    async def activity(self, url: str) -> None:
        raise AssertionError(url)

    async def retire(self, url: str, idle_for_seconds: float) -> bool:
        raise AssertionError(url)


async def _with_a_later_list_under_way() -> Rounds:
    """After two rounds; it ends once the API may list."""
    rounds = Rounds()
    await rounds.round()
    rounds.api.may_list.clear()
    rounds.seconds += RESYNC
    await rounds.round()
    return rounds


async def test_the_first_list_is_waited_for() -> None:
    rounds = Rounds()
    await rounds.round()
    assert rounds.decided_on == [["tiny"]]


async def test_a_later_one_is_not() -> None:
    rounds = await _with_a_later_list_under_way()
    assert await rounds.round() > 1  # its end calls for the next, and nothing else does
    assert (len(rounds.decided_on), rounds.api.listed) == (3, 1)
    rounds.called.clear()
    rounds.api.may_list.set()
    async with asyncio.timeout(5):
        await rounds.called.wait()
    await rounds.round()
    assert rounds.api.listed == 2


async def test_one_from_before_the_lease_was_lost_does_not_count_after() -> None:
    rounds = await _with_a_later_list_under_way()
    rounds.lease.held = False
    await rounds.round()
    rounds.lease.held = True
    rounds.api.may_list.set()
    await rounds.round()
    assert rounds.api.listed == 2
    rounds.seconds += RESYNC - 1
    await rounds.round()
    assert rounds.api.listed == 2


async def test_one_that_fails_fails_the_next_round() -> None:
    rounds = Rounds()
    await rounds.round()
    rounds.api.failure = KubeError(500, "no")
    rounds.seconds += RESYNC
    rounds.called.clear()
    await rounds.round()
    async with asyncio.timeout(5):
        await rounds.called.wait()
    with pytest.raises(KubeError, match="no"):
        await rounds.round()
