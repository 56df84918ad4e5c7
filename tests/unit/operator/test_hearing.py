"""What serving pods say of themselves, and which agreed to go."""

import asyncio
from datetime import timedelta

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
        self.lets_answer = asyncio.Event()
        self.lets_answer.set()

    async def activity(self, url: str) -> Activity | None:
        self.asked.append(url)
        await self.lets_answer.wait()
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


async def test_a_pod_is_asked_once_a_heartbeat() -> None:
    runtime, now = FakeRuntime(), [NOON]
    heard = Hearing(runtime, lambda: now[0], heartbeat=timedelta(seconds=1))
    for seconds in (0.0, 0.9, 1.0, 1.5):
        now[0] = NOON + timedelta(seconds=seconds)
        assert await heard.refresh([POD])
    assert len(runtime.asked) == 2


async def test_one_that_hangs_holds_up_no_look_and_keeps_what_it_said() -> None:
    runtime = FakeRuntime()
    heard = hearing(runtime)
    await heard.refresh([POD])
    runtime.lets_answer.clear()
    await heard.refresh([POD])
    assert heard.heard[UID].activity == IDLE
    await heard.refresh([POD])
    assert len(runtime.asked) == 2, "it is not asked again while it has not answered"
    runtime.answer = None
    runtime.lets_answer.set()
    await heard.refresh([POD])
    assert heard.heard[UID].activity is None


async def test_an_answer_that_was_on_its_way_brings_back_none_that_agreed_to_go() -> None:
    runtime = FakeRuntime()
    heard = hearing(runtime)
    runtime.lets_answer.clear()
    await heard.refresh([POD])
    assert await heard.retire(POD, 5)
    runtime.lets_answer.set()
    runtime.answer = None
    await heard.refresh([POD])
    assert heard.heard[UID].retired


async def test_a_pod_that_is_gone_is_forgotten() -> None:
    heard = hearing(FakeRuntime())
    await heard.refresh([POD])
    await heard.refresh([])
    assert heard.heard == {}


def test_an_ipv6_address_is_put_in_brackets() -> None:
    assert pod_url(pod_object(podIP="fd00::1")) == "http://[fd00::1]:8080"
