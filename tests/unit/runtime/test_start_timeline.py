"""What each second of a start went into, as the process itself tells it."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx

from hfmodel_api.wire import Activity, Stage, Start
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.timeline import Timeline
from support.fake_engine import FakeEngine


def timeline(began_at: float, times: Sequence[float]) -> Timeline:
    clock = iter(times)
    return Timeline(began_at, clock=lambda: next(clock))


def test_each_stage_takes_the_time_since_the_one_before() -> None:
    line = timeline(1000.0, [1000.3, 1002.1, 1002.5])
    for stage in (Stage.PORT, Stage.IMPORTS, Stage.WEIGHTS):
        line.reached(stage)
    start = line.start()
    assert start.began_at == datetime.fromtimestamp(1000.0, UTC)
    assert start.stages == {"port": 0.3, "imports": 1.8, "weights": 0.4}


def test_a_stage_is_reached_once() -> None:
    line = timeline(0.0, [1.0, 2.0])
    line.reached(Stage.PORT)
    line.reached(Stage.PORT)
    assert line.start().stages == {"port": 1.0}


def test_no_stage_takes_less_than_nothing_when_the_clock_is_set_back() -> None:
    line = timeline(10.0, [9.0])
    line.reached(Stage.PORT)
    assert line.start().stages == {"port": 0.0}


def test_a_process_counts_from_when_the_kernel_started_it() -> None:
    before = time.time()
    told = subprocess.run(
        [sys.executable, "-c", "from hfmodel_runtime.timeline import of_this_process as line\nprint(line()._began_at)"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    # The kernel counts in ticks.
    assert before - 0.1 <= float(told.stdout) <= time.time()


async def test_a_process_tells_its_start_once_it_is_ready(
    loading_client: httpx.AsyncClient, loading_model: ServedModel, engine: FakeEngine
) -> None:
    activity = Activity.model_validate_json((await loading_client.get("/activity")).content)
    assert activity.start is None
    start = Start(began_at=datetime(2026, 3, 1, tzinfo=UTC), stages={Stage.IMPORTS: 1.5, Stage.WARM_UP: 0.25})
    loading_model.loaded(engine, start)
    activity = Activity.model_validate_json((await loading_client.get("/activity")).content)
    assert activity.start == start
    metrics = (await loading_client.get("/metrics")).text
    assert 'hfmodel_runtime_start_seconds{stage="imports"} 1.5' in metrics
    assert 'hfmodel_runtime_start_seconds{stage="warm-up"} 0.25' in metrics
