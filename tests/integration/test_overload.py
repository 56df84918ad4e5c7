"""Many more requests than a router and a real runtime have places for: each gets an answer, and none is lost."""

import asyncio
from pathlib import Path

import pytest

from support.fake_fleet import FakeFleet, model
from support.running_router import RunningRouter, running_router
from support.runtime_process import serving

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
