"""What of a spec only a cluster has is told, not passed over."""

from typing import Any

import pytest

from hfmodel_api.status import Reason
from hfmodel_cli.local.template import problem_of
from support.local_values import hfmodel

FROM_SECRET = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        pytest.param({"env": [FROM_SECRET]}, Reason.INVALID_SPEC, "KEY takes its value from a cluster", id="a value"),
        pytest.param(
            {"source": {"pvc": {"claimName": "c", "path": "p"}}},
            Reason.SOURCE_NOT_SUPPORTED,
            "spec.source.path",
            id="pvc",
        ),
    ],
)
def test_what_needs_a_cluster(spec: dict[str, Any], reason: Reason, says: str) -> None:
    problem = problem_of(hfmodel(**spec))
    assert problem is not None
    assert (problem.reason, problem.permanent) == (reason, True)
    assert says in problem.message


def test_what_this_machine_has_is_no_problem() -> None:
    assert problem_of(hfmodel(env=[{"name": "KEY", "value": "a"}])) is None
