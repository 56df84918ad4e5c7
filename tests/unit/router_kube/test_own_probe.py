"""Starting pods are asked while somebody waits, and only then."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from hfmodel_router.kube.objects import Pod
from hfmodel_router.kube.probe import HttpAsk, Prober
from support.polling import until
from support.scripted_runtime import die_before_headers, respond, scripted_runtime


def pod(name: str = "smol-1", *, model: str = "smol", started: str = "") -> Pod:
    return Pod(
        name=name,
        model_id=model,
        incarnation=f"{name}/{started}",
        url=f"http://{name}",
        ready=False,
        running=True,
        going=False,
    )


class Bench:
    def __init__(self, *, patience: float = 60.0) -> None:
        self.ready: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.changes: list[str] = []
        self.prober = Prober(
            self.ask, changed=self.changes.append, interval=0.001, confirm_interval=0.001, patience=patience
        )

    async def ask(self, url: str) -> bool:
        self.asked[url] += 1
        return url in self.ready


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.prober.close()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nobody_is_asked_while_nobody_waits(bench: Bench) -> None:
    bench.prober.candidates("smol", [pod()])
    bench.prober.candidates("other", [pod("other-1", model="other")])
    bench.prober.wanted("other")
    await until(lambda: bench.asked["http://other-1"] > 1)
    assert bench.asked["http://smol-1"] == 0


@pytest.mark.parametrize("pod_comes_first", [True, False], ids=["pod first", "want first"])
async def test_a_pod_is_asked_until_it_answers(bench: Bench, pod_comes_first: bool) -> None:
    if pod_comes_first:
        bench.prober.candidates("smol", [pod()])
    bench.prober.wanted("smol")
    if not pod_comes_first:
        bench.prober.candidates("smol", [pod()])
    await until(lambda: bench.asked["http://smol-1"] > 2)
    assert not bench.prober.answering
    bench.ready.add("http://smol-1")
    await until(lambda: bench.changes == ["smol"])
    assert bench.prober.answering == {"smol-1/"}


async def test_a_pod_that_ceases_to_answer_counts_no_more(bench: Bench) -> None:
    bench.ready.add("http://smol-1")
    bench.prober.wanted("smol")
    bench.prober.candidates("smol", [pod()])
    await until(lambda: bench.changes == ["smol"])
    bench.ready.clear()
    await until(lambda: bench.changes == ["smol", "smol"])
    assert not bench.prober.answering


async def test_what_a_container_said_does_not_hold_for_the_next(bench: Bench) -> None:
    bench.ready.add("http://smol-1")
    bench.prober.wanted("smol")
    bench.prober.candidates("smol", [pod(started="first")])
    await until(lambda: bool(bench.prober.answering))
    bench.ready.clear()
    bench.prober.candidates("smol", [pod(started="second")])
    assert not bench.prober.answering


async def test_a_pod_that_is_no_candidate_any_more_is_asked_no_more(bench: Bench) -> None:
    bench.prober.wanted("smol")
    bench.prober.candidates("smol", [pod()])
    await until(lambda: bench.asked["http://smol-1"] > 0)
    bench.prober.candidates("smol", [])
    asked = bench.asked.copy()
    await turns()
    assert bench.asked == asked


async def test_asking_ends_when_nobody_has_waited_for_a_while_and_begins_again() -> None:
    bench = Bench(patience=0.005)
    bench.prober.candidates("smol", [pod()])
    bench.prober.wanted("smol")
    await until(lambda: bench.asked["http://smol-1"] > 0)
    await until(lambda: not bench.prober._tasks)
    asked = bench.asked["http://smol-1"]
    bench.prober.wanted("smol")
    await until(lambda: bench.asked["http://smol-1"] > asked)
    await bench.prober.close()


async def test_a_pod_that_answered_is_watched_on_although_nobody_waits() -> None:
    bench = Bench(patience=0.005)
    bench.ready.add("http://smol-1")
    bench.prober.candidates("smol", [pod()])
    bench.prober.wanted("smol")
    await until(lambda: bench.changes == ["smol"])
    await until(lambda: not bench.prober._is_wanted("smol"))
    bench.ready.clear()
    await until(lambda: bench.changes == ["smol", "smol"])
    await bench.prober.close()


@pytest.mark.parametrize(
    ("script", "ready"),
    [
        (respond({"status": "ready"}), True),
        (respond({"status": "loading"}, 503), False),
        (respond({}, 302, location="/elsewhere"), False),
        (die_before_headers, False),
    ],
    ids=["ready", "loading", "redirect", "reset"],
)
async def test_only_a_200_means_ready(script: object, ready: bool) -> None:
    async with scripted_runtime(script) as runtime, HttpAsk() as ask:  # type: ignore[arg-type]
        assert await ask(runtime.url) is ready
        assert runtime.received[0].path == "/readyz"


async def test_nothing_that_listens_is_not_ready() -> None:
    async with HttpAsk() as ask:
        assert not await ask("http://127.0.0.1:1")
