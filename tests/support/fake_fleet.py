"""A fleet in memory: tests say what there is, and see what was asked of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from hfmodel_api.spec import HFModel, HFModelSpec
from hfmodel_api.status import Phase
from hfmodel_router.fleet import Endpoint, ModelState, Problem


def model(model_id: str = "smollm2", **spec: Any) -> HFModel:
    """A model with this id; `spec` over a repo named after it."""
    return HFModel(id=model_id, spec=HFModelSpec(**{"model": f"acme/{model_id}", **spec}))


class FakeFleet:
    """Implements `Fleet`.

    `on_want` and `on_release` are called, after the call was noted, with the model's id: they play the operator.
    """

    def __init__(self, *models: HFModel) -> None:
        self.states = {each.id: ModelState(model=each) for each in models}
        self.wants: list[str] = []
        self.releases: list[str] = []
        self.resyncs = 0
        self.wanted = asyncio.Event()
        self.on_want: Callable[[str], Awaitable[None] | None] = lambda _: None
        self.on_release: Callable[[str], None] = lambda _: None
        self.want_error: Exception | None = None
        self.bug: Exception | None = None  # raised by each look at the catalogue
        self._subscribers: list[Callable[[str], None]] = []

    # What the router calls.
    def catalogue(self) -> Mapping[str, ModelState]:
        if self.bug is not None:
            raise self.bug
        return dict(self.states)

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    async def want(self, model_id: str) -> None:
        self.wants.append(model_id)
        self.wanted.set()
        if self.want_error is not None:
            raise self.want_error
        result = self.on_want(model_id)
        if result is not None:
            await result

    async def release(self, model_id: str) -> None:
        self.releases.append(model_id)
        self.on_release(model_id)

    async def resync(self) -> None:
        self.resyncs += 1

    # What tests call.
    @property
    def subscriptions(self) -> int:
        return len(self._subscribers)

    def notify(self, model_id: str) -> None:
        for changed in tuple(self._subscribers):
            changed(model_id)

    def change(self, model_id: str, **changes: Any) -> None:
        """Show something else of a model, and say so."""
        self.states[model_id] = replace(self.states[model_id], **changes)
        self.notify(model_id)

    def add(self, added: HFModel) -> None:
        self.states[added.id] = ModelState(model=added)
        self.notify(added.id)

    def remove(self, model_id: str) -> None:
        del self.states[model_id]
        self.notify(model_id)

    def serve(self, model_id: str, *urls: str) -> None:
        """The model answers at these URLs, and nowhere else."""
        endpoints = tuple(Endpoint(f"pod-at-{url}", url) for url in urls)
        self.change(model_id, endpoints=endpoints, phase=Phase.READY if urls else Phase.ASLEEP, problem=None)

    def fail(self, model_id: str, reason: str, message: str = "it broke") -> None:
        self.change(model_id, phase=Phase.FAILED, problem=Problem(reason, message))

    def heal(self, model_id: str) -> None:
        """A new try begins: the problem of the last one is not shown any more."""
        self.change(model_id, phase=Phase.STARTING, problem=None)
