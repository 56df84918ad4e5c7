"""Several calls at a time, and Events that nobody waits for."""

import asyncio

import pytest

from hfmodel_operator.cluster.together import together


async def test_no_more_than_some_are_on_their_way() -> None:
    under_way, most = 0, 0

    async def call() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await together(call() for _ in range(100))
    assert (under_way, most) == (0, 16)


async def test_a_failure_is_raised_once_all_have_ended() -> None:
    ended = []

    async def call(number: int) -> None:
        await asyncio.sleep(0)
        if number == 1:
            raise OSError("the first")
        ended.append(number)

    with pytest.raises(OSError, match="the first"):
        await together(call(number) for number in range(40))
    assert len(ended) == 39
