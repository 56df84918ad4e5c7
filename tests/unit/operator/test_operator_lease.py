"""Who may act: one operator at a time, without comparing clocks."""

import copy

import pytest

from hfmodel_operator.cluster.api import Json, KubeError, Resource
from hfmodel_operator.cluster.lease import Lease


class FakeLeases:
    """One Lease with optimistic locking; `down`: no call is answered."""

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.down = False

    async def get(self, resource: Resource, name: str) -> Json | None:
        self._answers()
        return copy.deepcopy(self.lease)

    async def create(self, resource: Resource, manifest: Json) -> Json:
        self._answers()
        if self.lease is not None:
            raise KubeError(409, "exists")
        return self._store(manifest, 1)

    async def replace(self, resource: Resource, name: str, manifest: Json) -> Json:
        self._answers()
        assert self.lease is not None
        version = self.lease["metadata"]["resourceVersion"]
        if manifest["metadata"]["resourceVersion"] != version:
            raise KubeError(409, "changed")
        return self._store(manifest, int(version) + 1)

    def _answers(self) -> None:
        if self.down:
            raise KubeError(0, "down")

    def _store(self, manifest: Json, version: int) -> Json:
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(version)
        return self.lease


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def api() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(api: FakeLeases, clock: Clock, identity: str) -> Lease:
    return Lease(api, name="op", identity=identity, seconds=15, changed=lambda: None, monotonic=clock)


async def test_the_first_holds_it_and_the_second_stands_by(api: FakeLeases, clock: Clock) -> None:
    first, second = lease(api, clock, "a"), lease(api, clock, "b")
    await first.attempt()
    await second.attempt()
    assert (first.held, second.held) == (True, False)


async def test_a_standby_takes_over_once_the_lease_has_not_changed_for_its_time(api: FakeLeases, clock: Clock) -> None:
    first, second = lease(api, clock, "a"), lease(api, clock, "b")
    await first.attempt()
    await second.attempt()
    clock.seconds = 14.9
    await second.attempt()
    assert not second.held
    clock.seconds = 15.0
    await second.attempt()
    assert (first.held, second.held) == (False, True)


async def test_a_renewal_keeps_the_standby_waiting(api: FakeLeases, clock: Clock) -> None:
    first, second = lease(api, clock, "a"), lease(api, clock, "b")
    await first.attempt()
    for seconds in range(3, 60, 3):
        clock.seconds = float(seconds)
        await first.attempt()
        await second.attempt()
        assert (first.held, second.held) == (True, False)


async def test_a_holder_that_cannot_renew_stops_before_another_may_begin(api: FakeLeases, clock: Clock) -> None:
    first = lease(api, clock, "a")
    await first.attempt()
    api.down = True
    clock.seconds = 10.0
    with pytest.raises(KubeError):
        await first.attempt()
    assert not first.held


async def test_of_two_who_try_at_once_one_wins(api: FakeLeases, clock: Clock) -> None:
    first, second = lease(api, clock, "a"), lease(api, clock, "b")
    seen, api.lease = api.lease, None
    await first.attempt()

    async def old_news(resource: Resource, name: str) -> Json | None:
        return seen

    api.get = old_news  # type: ignore[method-assign]
    await second.attempt()
    assert (first.held, second.held) == (True, False)
