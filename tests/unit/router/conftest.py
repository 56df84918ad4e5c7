"""A fleet in memory with one model, and a router in front of it."""

from collections.abc import AsyncIterator

import pytest

from support.fake_fleet import FakeFleet, model
from support.running_router import RunningRouter, running_router


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet(model())


@pytest.fixture
async def router(fleet: FakeFleet) -> AsyncIterator[RunningRouter]:
    """One with the default settings."""
    async with running_router(fleet) as running:
        yield running
