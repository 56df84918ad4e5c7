"""Local processes as the router sees them."""

import pytest

from hfmodel_api.status import Condition, ConditionType, HFModelStatus, Phase, Reason
from hfmodel_cli.local.fleet import problem_of
from hfmodel_router.fleet import Problem


def status(phase: Phase, reason: Reason, message: str) -> HFModelStatus:
    ready = Condition(type=ConditionType.READY, status="False", reason=reason, message=message)
    return HFModelStatus(phase=phase, conditions=(ready,))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            status(Phase.FAILED, Reason.REPO_NOT_FOUND, "no such repo"),
            Problem("RepoNotFound", "no such repo"),
            id="failed",
        ),
        pytest.param(status(Phase.STARTING, Reason.CRASH_LOOP, "tried again"), None, id="tried-again"),
        pytest.param(status(Phase.STARTING, Reason.POOL_FULL, "no place"), None, id="waits-for-its-turn"),
        pytest.param(HFModelStatus(), None, id="not-decided-yet"),
    ],
)
def test_a_problem_is_what_waiting_does_not_help_against(given: HFModelStatus, expected: Problem | None) -> None:
    assert problem_of(given) == expected
