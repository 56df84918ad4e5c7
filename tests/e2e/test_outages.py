"""Requests while parts of it go: a pod, the operator, the router, one after the other."""

from collections.abc import Iterator

import pytest

from support.installation import ANSWER, QUESTION, Installation
from support.steady_caller import SteadyCallers

pytestmark = pytest.mark.e2e

MODEL = "steady"


@pytest.fixture(scope="module", autouse=True)
def model(installation: Installation) -> Iterator[str]:
    installation.apply(MODEL, scaling={"idleTimeout": "1h"})
    installation.wait_until_healthy(MODEL)
    assert installation.generate(MODEL).status_code == 200
    yield MODEL
    installation.delete(MODEL)


def callers(installation: Installation) -> SteadyCallers:
    return SteadyCallers(f"{installation.url}/models/{MODEL}/generate", QUESTION)


def check(found: SteadyCallers) -> None:
    assert found.failures == []
    assert len(found.answers) > 3
    assert all(ANSWER in answer["generated_text"][0] for answer in found.answers)


@pytest.mark.parametrize(
    "force", [pytest.param((), id="drained"), pytest.param(("--grace-period=0", "--force"), id="killed")]
)
def test_a_deleted_pod_costs_no_request(installation: Installation, force: tuple[str, ...]) -> None:
    (old,) = installation.pods(MODEL)
    with callers(installation) as found:
        installation.kubectl("delete", "pod", old["metadata"]["name"], "--wait=false", *force)

        def replaced() -> bool:
            uids = [pod["metadata"]["uid"] for pod in installation.pods(MODEL)]
            # The old one drains for a while beside the new one.
            return len(uids) == 1 and uids != [old["metadata"]["uid"]] and installation.is_in_phase(MODEL, "Ready")

        installation.kubectl.until("another pod serves alone", replaced, seconds=240)
        answered = len(found.answers)
        installation.kubectl.until("and answers", lambda: len(found.answers) > answered + 4, seconds=120)
    check(found)


@pytest.mark.parametrize("component", ["operator", "router"])
def test_a_restarted_part_costs_no_request(installation: Installation, component: str) -> None:
    (deployment,) = installation.kubectl(
        "get", "deployments", f"--selector=app.kubernetes.io/component={component}", "--output=name"
    ).split()
    (pod,) = installation.pods(MODEL)
    with callers(installation) as found:
        installation.kubectl("rollout", "restart", deployment)
        installation.kubectl("rollout", "status", deployment, "--timeout=240s", timeout=250)
        answered = len(found.answers)
        installation.kubectl.until("requests are answered", lambda: len(found.answers) > answered + 4)
    check(found)
    assert [each["metadata"]["uid"] for each in installation.pods(MODEL)] == [pod["metadata"]["uid"]]
