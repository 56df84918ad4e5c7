"""What keeps a model from starting, as real kubelets, schedulers and kernels say it."""

from typing import Any

import pytest

from support.installation import Installation

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("name", "spec", "reason", "words"),
    [
        pytest.param(
            "no-node",
            {"nodeSelector": {"no": "such-node"}},
            "Unschedulable",
            "node",
            id="no node fits: the scheduler's words",
        ),
        pytest.param(
            "no-image", {"image": "hfmodel.invalid/none:1"}, "ImagePullFailed", "hfmodel.invalid", id="no such image"
        ),
        pytest.param(
            "no-secret", {"tokenSecretRef": {"name": "nowhere"}}, "SecretMissing", "nowhere", id="no such Secret"
        ),
        pytest.param("no-profile", {"gpu": {"profile": "nothing"}}, "ProfileUnknown", "nothing", id="no such profile"),
        pytest.param(
            "no-claim",
            {"source": {"pvc": {"claimName": "none", "path": "m"}}},
            "VolumeNotBound",
            "none",
            id="no such claim",
        ),
        pytest.param("no-repo", {"model": "nobody/nothing"}, "RepoNotFound", "nobody/nothing", id="no such repository"),
        pytest.param(
            "no-memory", {"resources": {"limits": {"memory": "200Mi"}}}, "OutOfMemory", "memory", id="too little memory"
        ),
        pytest.param(
            "no-device", {"device": "cuda"}, "DeviceNotAvailable", "cuda", id="no GPU in the pod: the runtime's words"
        ),
    ],
)
def test_the_reason_reaches_the_status_and_an_event(
    installation: Installation, name: str, spec: dict[str, Any], reason: str, words: str
) -> None:
    installation.apply(name, **spec, scaling={"minReplicas": 1})

    def found() -> dict[str, Any] | None:
        conditions = installation.status(name).get("conditions") or ()
        return next((each for each in conditions if each["reason"] == reason), None)

    installation.kubectl.until(f"{name} has the reason {reason}", found, seconds=180)
    condition = found()
    assert condition is not None
    assert words in condition["message"]
    installation.delete(name)
    installation.kubectl.until("its pods are gone", lambda: not installation.pods(name), seconds=120)


def test_a_held_request_ends_with_the_reason(installation: Installation) -> None:
    installation.apply("gone", model="nobody/nothing")
    installation.kubectl.until("it failed", lambda: installation.is_in_phase("gone", "Failed"), seconds=120)
    answer = installation.generate("gone")
    assert answer.status_code != 200
    assert answer.json()["reason"] == "RepoNotFound"
    installation.delete("gone")
