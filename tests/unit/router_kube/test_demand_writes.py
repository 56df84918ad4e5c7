"""What callers want reaches the HFModel's status, in an order that all parts agree on."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hfmodel_api.status import Demand
from hfmodel_router.kube.demand import DemandWriter, rfc3339
from hfmodel_router.kube.errors import ApiError, Rejected, Unavailable
from support.router_cluster import FakeCluster

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
LOST = Unavailable("connection lost")


class Bench:
    def __init__(self, known: Demand | None = None) -> None:
        self.cluster = FakeCluster()
        self.now = NOON
        self.pauses: list[float] = []
        self.writer = DemandWriter(
            self.cluster, known=lambda _: known or Demand(), clock=lambda: self.now, sleep=self.sleep
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)

    @property
    def written(self) -> list[tuple[str, Any]]:
        return [(model_id, status["demand"]) for model_id, status in self.cluster.writes]


async def test_a_want_writes_one_field() -> None:
    bench = Bench()
    await bench.writer.want("smol")
    assert bench.cluster.writes == [("smol", {"demand": {"wantedAt": "2026-01-01T12:00:00.000000Z"}})]


async def test_a_release_writes_one_field() -> None:
    bench = Bench()
    await bench.writer.release("smol")
    assert bench.cluster.writes == [("smol", {"demand": {"releasedAt": "2026-01-01T12:00:00.000000Z"}})]


async def test_of_two_writes_within_one_tick_the_later_is_later() -> None:
    bench = Bench()
    await bench.writer.release("smol")
    await bench.writer.want("smol")
    (_, released), (_, wanted) = bench.written
    assert wanted["wantedAt"] > released["releasedAt"]


@pytest.mark.parametrize(
    ("ahead", "written"),
    [(5 * SECOND, NOON + 5 * SECOND + TICK), (timedelta(0), NOON + TICK), (-5 * SECOND, NOON), (3600 * SECOND, NOON)],
    ids=["by a clock ahead", "at the same instant", "before", "by a clock that was wrong"],
)
async def test_a_want_overrules_a_release_that_was_written(ahead: timedelta, written: datetime) -> None:
    bench = Bench(Demand(released_at=NOON + ahead))
    await bench.writer.want("smol")
    assert bench.written == [("smol", {"wantedAt": rfc3339(written)})]


async def test_a_release_overrules_a_want_of_a_router_whose_clock_is_ahead() -> None:
    bench = Bench(Demand(wanted_at=NOON + SECOND))
    await bench.writer.release("smol")
    assert bench.written == [("smol", {"releasedAt": rfc3339(NOON + SECOND + TICK)})]


async def test_a_write_is_tried_again_with_a_growing_pause_and_a_new_time() -> None:
    bench = Bench()
    bench.cluster.write_errors = [LOST] * 4
    await bench.writer.want("smol")
    times = [demand["wantedAt"] for _, demand in bench.written]
    assert times == sorted(set(times))
    assert len(times) == 5
    assert bench.pauses[0] < bench.pauses[-1]
    assert all(pause > 0 for pause in bench.pauses)


async def test_a_refusal_is_not_tried_again() -> None:
    bench = Bench()
    bench.cluster.write_errors = [Rejected("403")]
    with pytest.raises(Rejected):
        await bench.writer.want("smol")
    assert len(bench.written) == 1


async def test_trying_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfmodel_router.kube.demand._GIVE_UP", 0.01)
    bench = Bench()
    bench.cluster.write_errors = [LOST] * 1_000_000
    bench.writer = DemandWriter(bench.cluster, known=lambda _: Demand(), sleep=lambda _: asyncio.sleep(0.001))
    with pytest.raises(Unavailable, match="connection lost"):
        await bench.writer.want("smol")


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfmodel_router.kube.demand._GIVE_UP", 0.01)

    class Silent:
        async def merge_status(self, model_id: str, status: Any) -> None:
            await asyncio.Event().wait()

    with pytest.raises(ApiError, match="in time"):
        await DemandWriter(Silent(), known=lambda _: Demand()).want("smol")
