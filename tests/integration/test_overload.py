"""Many more requests than a router and a real runtime have places for: each gets an answer, and none is lost."""

import asyncio
from pathlib import Path

import pytest
from bench.overload.measure import measure

from support.fake_fleet import FakeFleet, model
from support.running_router import RunningRouter, running_router
from support.runtime_process import serving
from support.tiny_models import make_tiny_model

pytestmark = pytest.mark.slow

CALLERS = 16
PLACES = 4  # two sequences run, two wait


async def _until_let_in(router: RunningRouter, number: int) -> list[int]:
    """Ask, and again whenever told to; the statuses on the way."""
    body = {"model": "smollm2", "prompt": f"number {number}", "max_tokens": 2, "temperature": 0, "ignore_eos": True}
    statuses: list[int] = []
    while True:
        async with router.http.post("/v1/completions", json=body) as response:
            answer = await response.json()
            statuses.append(response.status)
            if response.status != 429:
                assert response.status != 200 or answer["usage"]["completion_tokens"] == 2
                return statuses
            assert answer["error"]["code"] == "overloaded"
            told = int(response.headers["retry-after"])
        assert 1 <= told <= 600
        await asyncio.sleep(told)


async def test_at_overload_everybody_is_answered_or_told_when_to_come_back(smollm2_dir: Path) -> None:
    options = ("--max-running", "2", "--max-queued", str(PLACES - 2), "--model", "smollm2", "--threads", "1")
    fleet = FakeFleet(model("smollm2"))
    with serving(smollm2_dir, *options) as runtime:
        await asyncio.to_thread(runtime.until_ready)
        fleet.serve("smollm2", runtime.url)
        async with running_router(fleet) as router:
            ways = await asyncio.gather(*(_until_let_in(router, number) for number in range(CALLERS)))
    assert {way[-1] for way in ways} == {200}
    assert sum(len(way) == 1 for way in ways) >= PLACES
    assert sum(len(way) > 1 for way in ways) > 0, "nothing was refused: there was no overload"


def _prompts(seed: int) -> list[str]:
    """Of few tokens, as the tiny model has few positions; none is asked twice."""
    return [f"{seed} {number}" for number in range(20_000)]


def test_at_ten_times_the_load_what_was_told_turns_out_right_and_memory_stays_flat(tmp_path: Path) -> None:
    """The bound on the promises is 0.6, not the bench's 0.9: on a busy machine the speed itself may halve."""
    tiny = make_tiny_model("llama", tmp_path / "tiny")
    outcome = measure(model_dir=tiny, threads=1, running_most=4, queued_most=16, seconds=1.5, prompts=_prompts)
    leg = outcome.overload
    # A call whose 429 has no Retry-After, or whose connection broke, raises.
    assert [call.other for call in leg.calls if call.other is not None] == []
    lost = [call for call in leg.calls if call.answered is None and not call.was_refused]
    assert lost == []
    assert all(1 <= told <= 600 for call in leg.calls for told in call.told)
    assert len(leg.promises) > 20, "hardly anybody was refused and let in later: there was no overload"
    assert leg.kept >= 0.6
    assert outcome.growth("router") <= 1.2
    assert outcome.growth("runtime") <= 1.2
