"""What local mode remembers of its models."""

from pathlib import Path

import pytest

from hfmodel_api.spec import HFModel
from hfmodel_api.status import HFModelStatus, Phase, Reason
from hfmodel_cli.local.pod import Pod
from hfmodel_cli.local.registry import Record, Registry
from hfmodel_operator.observed import PodFailure
from support.local_values import NOON, Clock, hfmodel

CRASH = PodFailure(Reason.CRASH_LOOP, "it crashed")


class Setup:
    def __init__(self) -> None:
        self.clock = Clock()
        self.calls = 0
        self.told: list[str] = []
        self.registry = Registry(now=self.clock, changed=self._called)
        self.registry.subscribe(self.told.append)

    def _called(self) -> None:
        self.calls += 1

    def set(self, *models: HFModel) -> None:
        self.registry.set_models({model.id: model for model in models})

    def record(self, model_id: str = "m") -> Record:
        record = self.registry.get(model_id)
        assert record is not None
        return record

    def pod(self, model: HFModel, *, ready_after: float | None = None) -> Pod:
        path = Path("unused")
        pod = Pod(name="p", uid="u", model=model, created_at=self.clock(), log=path, termination_log=path)
        if ready_after is not None:
            self.clock.advance(ready_after)
            pod.ready_at = self.clock()
            self.registry.pod_ready(pod)
        return pod


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_models_keep_their_order_and_only_what_changed_is_told(setup: Setup) -> None:
    setup.set(hfmodel("b"), hfmodel("a"))
    assert [record.model.id for record in setup.registry] == ["b", "a"]
    assert sorted(setup.told) == ["a", "b"]
    setup.told.clear()
    setup.set(hfmodel("b"), hfmodel("c"), hfmodel("a", maxLength=9))
    assert sorted(setup.told) == ["a", "c"]
    setup.told.clear()
    setup.set(hfmodel("b"))
    assert sorted(setup.told) == ["a", "c"]


def test_a_changed_spec_is_a_new_generation_without_old_failures(setup: Setup) -> None:
    setup.set(hfmodel())
    setup.registry.want("m")
    setup.registry.pod_failed(setup.pod(hfmodel()), CRASH)
    assert setup.record().failures == 1
    setup.set(hfmodel(maxLength=9))
    record = setup.record()
    assert (record.model.generation, record.failures, record.last_failure) == (2, 0, None)
    assert record.demand.wanted_at == NOON


def test_an_unchanged_model_keeps_everything(setup: Setup) -> None:
    setup.set(hfmodel())
    before = setup.record()
    setup.set(hfmodel())
    assert setup.record() is before


def test_failures_in_a_row_count_until_a_pod_is_ready(setup: Setup) -> None:
    setup.set(hfmodel())
    for expected in (1, 2):
        setup.registry.pod_failed(setup.pod(hfmodel()), CRASH)
        assert (setup.record().failures, setup.record().last_failure) == (expected, CRASH)
    setup.pod(hfmodel(), ready_after=1.5)
    record = setup.record()
    assert (record.failures, record.start_seconds, record.status.start_seconds) == (0, 1.5, 1.5)


@pytest.mark.parametrize(
    ("served_for", "failures"),
    [pytest.param(9.0, 2, id="fell-over-at-once"), pytest.param(10.0, 0, id="had-served-a-while")],
)
def test_a_ready_pod_that_ends(setup: Setup, served_for: float, failures: int) -> None:
    setup.set(hfmodel())
    setup.registry.pod_failed(setup.pod(hfmodel()), CRASH)
    pod = setup.pod(hfmodel(), ready_after=1)
    setup.clock.advance(served_for)
    setup.registry.pod_failed(pod, CRASH)
    assert setup.record().failures == failures


def test_a_pod_of_an_older_spec_says_nothing_about_the_new_one(setup: Setup) -> None:
    setup.set(hfmodel(maxLength=9))
    setup.registry.pod_failed(setup.pod(hfmodel()), CRASH)
    assert setup.record().failures == 0


def test_want_and_release_of_a_model_that_is_not_there_do_nothing(setup: Setup) -> None:
    setup.registry.want("absent")
    setup.registry.release("absent")
    assert setup.calls == 0


def test_a_written_status_is_told_but_calls_for_no_new_round(setup: Setup) -> None:
    setup.set(hfmodel())
    calls, version = setup.calls, setup.registry.version
    setup.registry.write_status("m", HFModelStatus(phase=Phase.READY))
    assert setup.record().status.phase is Phase.READY
    assert (setup.calls, setup.told[-1]) == (calls, "m")
    assert setup.registry.version > version


def test_a_subscriber_that_fails_or_has_gone_keeps_nobody_from_the_news(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: str) -> None:
        raise RuntimeError("a bad listener")

    heard: list[str] = []
    setup.registry.subscribe(fails)
    end = setup.registry.subscribe(heard.append)
    setup.registry.notify("m")
    end()
    end()
    setup.registry.notify("n")
    assert heard == ["m"]
    assert "subscriber_failed" in caplog.text
