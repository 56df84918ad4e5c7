"""The one model this process serves, as the endpoints see it."""

import asyncio
import logging
import time
from dataclasses import dataclass

from starlette.requests import Request

from hfmodel_api.errors import ModelNotFound, NotReady
from hfmodel_api.wire import Activity, Start
from hfmodel_runtime.engine.protocol import Engine
from hfmodel_runtime.lifecycle import Admission, Event, Lifecycle, State
from hfmodel_runtime.server.exchange import exchange_of
from hfmodel_runtime.server.mailbox import Mailbox
from hfmodel_runtime.server.metrics import Metrics
from hfmodel_runtime.settings import ServeSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that was let in, and the engine it was let in for."""

    admission: Admission
    engine: Engine


class ServedModel:
    """Settings, lifecycle, metrics and, once loaded, the engine. Lives on the event loop."""

    def __init__(self, settings: ServeSettings, lifecycle: Lifecycle, *, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.created = int(time.time())
        self.mailbox = Mailbox(loop)
        self.metrics = Metrics(activity=self.activity)
        self._engine: Engine | None = None
        self._start: Start | None = None

    def loaded(self, engine: Engine, start: Start | None = None) -> None:
        """From now on, requests are served; `start` is how it came to that, where that is known."""
        self._engine = engine
        self._start = start
        if start is not None:
            self.metrics.started(start)
        self.metrics.load_seconds.set(engine.info.load_seconds)
        self.lifecycle.apply(Event.LOADED)

    @property
    def engine(self) -> Engine:
        """The engine, whatever else the state is.

        Raises:
            NotReady: not loaded yet.
        """
        if self._engine is None:
            raise NotReady("the model is still loading; nothing was started", reason=State.LOADING.value, retry_after=1)
        return self._engine

    @property
    def state(self) -> State:
        """The state, after a look at the engine's health."""
        if self._engine is not None and not self._engine.alive:
            self.lifecycle.apply(Event.DIE)
        return self.lifecycle.state

    def activity(self) -> Activity:
        queued = 0 if self._engine is None else self._engine.load().queued
        return self.lifecycle.activity(sequences_queued=queued).model_copy(update={"start": self._start})

    def check(self) -> None:
        """Raises NotReady if `admit` would now: asked before a body is read."""
        try:
            _ = self.state
            self.lifecycle.check()
        except NotReady as refusal:
            self.metrics.refused.labels(refusal.reason).inc()
            raise

    def admit(self, request: Request) -> Admitted:
        """Let `request` in; it counts as work until its last byte is sent or its caller is gone.

        Raises:
            NotReady: this process takes no work now.
        """
        self.check()
        admission = self.lifecycle.enter()
        exchange_of(request).undo.callback(admission.leave)
        return Admitted(admission, self.engine)

    def answers_to(self, name: str) -> None:
        """Raises ModelNotFound unless `name` is this model's id or its repo id."""
        names = {self.settings.model_id, self.settings.model}
        if name not in names:
            raise ModelNotFound(f"no model {name[:200]!r} here; this is {self.settings.model_id!r}", param="model")
