"""Speed, and how often progress is reported."""

import pytest

from hfmodel_runtime.fetch.meter import Meter
from hfmodel_runtime.fetch.request import Progress, Stage


def reports(*updates: tuple[float, int], stage: Stage = Stage.DOWNLOAD) -> list[Progress]:
    seen: list[Progress] = []
    meter = Meter(seen.append)
    for now, count in updates:
        meter.update(stage, count, total=1000, now=now)
    return seen


def test_reports_come_at_most_four_times_a_second() -> None:
    seen = reports(*[(tick / 100, tick) for tick in range(101)])
    assert [item.bytes for item in seen] == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(
    ("updates", "speed"),
    [
        pytest.param([(0, 500)], None, id="one-sample"),
        pytest.param([(0, 500), (2, 700)], 100.0, id="what-was-there-before-is-no-speed"),
        pytest.param([(0, 0), (1, 1000), *[(1 + second, 1000) for second in range(1, 8)]], 0.0, id="stalled"),
        pytest.param([(second, 10 * second) for second in range(20)], 10.0, id="steady"),
        pytest.param([(0, 500), (1, 100)], None, id="started-again"),
    ],
)
def test_speed_is_that_of_the_last_seconds(updates: list[tuple[float, int]], speed: float | None) -> None:
    assert reports(*updates)[-1].bytes_per_second == speed


@pytest.mark.parametrize(
    ("updates", "left"),
    [
        pytest.param([(0, 500)], None, id="too-early-to-tell"),
        pytest.param([(0, 500), (2, 700)], 3.0, id="resumed"),
        pytest.param([(0, 0), (1, 500), *[(1 + second, 500) for second in range(1, 8)]], None, id="stalled"),
        pytest.param([(0, 0), (2, 1000)], 0.0, id="complete"),
        pytest.param([(0, 0), (2, 1100)], 0.0, id="more-than-was-promised"),
    ],
)
def test_the_seconds_left_are_those_at_the_speed_of_now(updates: list[tuple[float, int]], left: float | None) -> None:
    assert reports(*updates)[-1].seconds_left == left


def test_without_a_total_nobody_knows_how_long() -> None:
    assert Progress(stage=Stage.DOWNLOAD, bytes=5, bytes_per_second=1.0).seconds_left is None


def test_a_new_stage_is_reported_at_once() -> None:
    seen: list[Progress] = []
    meter = Meter(seen.append)
    meter.update(Stage.DOWNLOAD, 1000, total=1000, now=0)
    meter.update(Stage.VERIFY, 1000, total=1000, now=0.01)
    assert [item.stage for item in seen] == [Stage.DOWNLOAD, Stage.VERIFY]


def test_the_last_report_can_be_forced() -> None:
    seen: list[Progress] = []
    meter = Meter(seen.append)
    meter.update(Stage.DOWNLOAD, 1, total=None, now=0)
    meter.update(Stage.DOWNLOAD, 2, total=None, now=0.01, force=True)
    assert [item.bytes for item in seen] == [1, 2]
