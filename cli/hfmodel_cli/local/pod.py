"""One runtime process as a pod: what is known of it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hfmodel_api.spec import HFModel
from hfmodel_api.wire import Activity
from hfmodel_cli.local.processes import RuntimeProcess
from hfmodel_operator.observed import ObservedPod, PodFailure, PodState
from hfmodel_operator.source import Fetched


@dataclass(slots=True, eq=False, kw_only=True)
class Pod:
    """One runtime process, from the wish to its end."""

    name: str
    uid: str
    model: HFModel  # as it was when the pod was made
    created_at: datetime
    log: Path
    termination_log: Path
    state: PodState = PodState.FETCHING
    starting_since: datetime | None = None
    ready_at: datetime | None = None
    activity: Activity | None = None
    activity_at: datetime | None = None
    answered_at: datetime | None = None
    fetched: Fetched | None = None
    process: RuntimeProcess | None = None
    failure: PodFailure | None = None
    verdict: str = ""  # why local mode itself ended it, to be told in place of the signal
    task: "asyncio.Task[None] | None" = None
    poll: "asyncio.Task[None] | None" = None

    @property
    def serves(self) -> bool:
        """It has come up and was not told to go: worth asking what it does."""
        return self.state in (PodState.READY, PodState.RETIRED)

    @property
    def url(self) -> str | None:
        """Where it takes requests now."""
        return self.process.url if self.process is not None and self.state is PodState.READY else None

    def observed(self, template_hash: str) -> ObservedPod:
        return ObservedPod(
            name=self.name,
            uid=self.uid,
            template_hash=template_hash,
            state=self.state,
            created_at=self.created_at,
            starting_since=self.starting_since,
            ready_at=self.ready_at,
            activity=self.activity,
            activity_at=self.activity_at,
            failure=self.failure,
        )


class Owner(Protocol):
    """Who keeps the books about pods."""

    def pod_ready(self, pod: Pod) -> None: ...

    def pod_failed(self, pod: Pod, failure: PodFailure) -> None: ...

    def pod_changed(self, pod: Pod) -> None:
        """Called after every change of a pod, also its end."""
