"""What serving pods say of themselves, and which agreed to go."""

from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.hearing import Hearing, pod_url
from support.kube_objects import NOON, pod_object, serving

IDLE = Activity(running=0, queued=0, requests_total=1, idle_seconds=5)
POD = pod_object(containers=[serving()], podIP="10.0.0.1")
UID = POD["metadata"]["uid"]


class FakeRuntime:
    def __init__(self) -> None:
        self.answer: Activity | None = IDLE
        self.agrees = True
        self.asked: list[str] = []

    async def activity(self, url: str) -> Activity | None:
        self.asked.append(url)
        return self.answer

    async def retire(self, url: str, idle_for_seconds: float) -> bool:
        return self.agrees


def hearing(runtime: FakeRuntime) -> Hearing:
    return Hearing(runtime, lambda: NOON)


async def test_only_pods_that_have_served_are_asked() -> None:
    runtime = FakeRuntime()
    assert not await hearing(runtime).refresh([pod_object(podIP="10.0.0.2")])
    assert await hearing(runtime).refresh([POD])
    assert runtime.asked == ["http://10.0.0.1:8080"]


async def test_silence_is_no_activity() -> None:
    runtime = FakeRuntime()
    runtime.answer = None
    heard = hearing(runtime)
    await heard.refresh([POD])
    assert heard.heard[UID].activity is None


async def test_one_that_agreed_to_go_stays_so_until_it_says_otherwise() -> None:
    runtime = FakeRuntime()
    heard = hearing(runtime)
    assert await heard.retire(POD, 5)
    runtime.answer = None
    await heard.refresh([POD])
    assert heard.heard[UID].retired
    runtime.answer = IDLE
    await heard.refresh([POD])
    assert not heard.heard[UID].retired


async def test_one_that_refuses_is_not_taken_for_retired() -> None:
    runtime = FakeRuntime()
    runtime.agrees = False
    heard = hearing(runtime)
    await heard.refresh([POD])
    assert not await heard.retire(POD, 5)
    assert not heard.heard[UID].retired


async def test_a_pod_that_is_gone_is_forgotten() -> None:
    heard = hearing(FakeRuntime())
    await heard.refresh([POD])
    await heard.refresh([])
    assert heard.heard == {}


def test_an_ipv6_address_is_put_in_brackets() -> None:
    assert pod_url(pod_object(podIP="fd00::1")) == "http://[fd00::1]:8080"
