"""A small world for the decider to run: models, pods and callers, without processes and with a clock of its own.

It does what the adapters promise (`observed.py`, `plan.py`) and no more. Wall-clock times may jump; what pods say of
themselves comes from a clock that does not, as in a real process.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hfmodel_api.spec import HFModel
from hfmodel_api.status import Demand, HFModelStatus, Reason
from hfmodel_api.wire import Activity
from hfmodel_operator.decide import decide
from hfmodel_operator.observed import Observed, ObservedModel, ObservedPod, PodFailure, PodState, Settings
from hfmodel_operator.plan import DeletePod, Plan, RetirePod

CRASH = PodFailure(Reason.CRASH_LOOP, "the process ended")
GATED = PodFailure(Reason.GATED_NO_TOKEN, "no token", permanent=True)


@dataclass(eq=False, kw_only=True)
class SimulatedPod:
    """A pod as it really is."""

    name: str
    template_hash: str
    created_at: datetime
    state: PodState = PodState.STARTING
    ready_at: datetime | None = None
    in_flight: int = 0
    quiet_since: float = 0.0  # of the world's steady clock
    answers: bool = True
    failure: PodFailure | None = None
    unschedulable: bool = False


@dataclass(eq=False, kw_only=True)
class SimulatedModel:
    """A model, its bookkeeping, and the callers that the router holds for it."""

    model: HFModel
    template: int = 1
    status: HFModelStatus = field(default_factory=HFModelStatus)
    demand: Demand = field(default_factory=Demand)
    pods: list[SimulatedPod] = field(default_factory=list)
    held: int = 0
    unmet: bool = False  # it was wanted, and no pod has been ready since, nor was one ready for long enough
    failures: int = 0
    last_failure: PodFailure | None = None
    last_failed_at: datetime | None = None

    @property
    def template_hash(self) -> str:
        return f"t{self.template}"

    def count(self, *states: PodState) -> int:
        return sum(pod.state in states for pod in self.pods)


class World:
    """Everything there is. `pending` is the plan that was decided and is not carried out yet."""

    def __init__(self, models: list[SimulatedModel], settings: Settings, now: datetime) -> None:
        self.models = {each.model.id: each for each in models}
        self.settings = settings
        self.now = now
        self.steady = 0.0
        self.pending: Plan | None = None
        self.set_back = False  # the clock went back at some time: what was met may look unmet
        self._names = 0

    def pods(self, *states: PodState) -> Iterator[tuple[SimulatedModel, SimulatedPod]]:
        for model in self.models.values():
            yield from ((model, pod) for pod in model.pods if pod.state in states)

    # Time.

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.steady += seconds

    def jump(self, seconds: float) -> None:
        """The wall clock is set; nothing else happens."""
        self.now += timedelta(seconds=seconds)
        self.set_back |= seconds < 0

    # Callers and the router.

    def call(self, model: SimulatedModel) -> None:
        """One request: to a ready pod if there is one, else held, and the router asks for the model."""
        ready = [pod for pod in model.pods if pod.state is PodState.READY]
        if ready:
            min(ready, key=lambda pod: pod.in_flight).in_flight += 1
        else:
            model.held += 1
            self.want(model)

    def want(self, model: SimulatedModel) -> None:
        model.demand = model.demand.model_copy(update={"wanted_at": self.now})
        model.unmet = True

    def release(self, model: SimulatedModel) -> None:
        model.demand = model.demand.model_copy(update={"released_at": self.now})

    def finish(self, pod: SimulatedPod) -> None:
        """All its requests are answered."""
        pod.in_flight, pod.quiet_since = 0, self.steady

    # Pods.

    def become_ready(self, model: SimulatedModel, pod: SimulatedPod) -> None:
        pod.state, pod.ready_at, pod.quiet_since, pod.unschedulable = PodState.READY, self.now, self.steady, False
        model.failures = 0
        model.unmet = False
        pod.in_flight, model.held = model.held, 0

    def fail(self, model: SimulatedModel, pod: SimulatedPod, failure: PodFailure = CRASH) -> None:
        """The pod dies; what it ran is held again, for nothing of the answers had been sent."""
        held, pod.in_flight = pod.in_flight, 0
        pod.state, pod.failure = PodState.FAILED, failure
        self._count_failure(model, pod, failure)
        for _ in range(held):
            self.call(model)

    def gone(self, model: SimulatedModel, pod: SimulatedPod) -> None:
        model.pods.remove(pod)

    def change_template(self, model: SimulatedModel) -> None:
        model.template += 1
        model.failures, model.last_failure, model.last_failed_at = 0, None, None

    def _count_failure(self, model: SimulatedModel, pod: SimulatedPod, failure: PodFailure) -> None:
        if pod.template_hash == model.template_hash:
            model.failures, model.last_failure, model.last_failed_at = model.failures + 1, failure, self.now

    # Observing, deciding, doing.

    def observe(self) -> Observed:
        return Observed(models=tuple(map(self._observe, self.models.values())))

    def decide(self) -> Plan:
        for model, _ in self.pods(PodState.READY):
            wanted = model.demand.wanted_at
            if wanted is not None and self.now >= wanted + self.settings.min_residency:
                model.unmet = False
        return decide(self.observe(), self.settings, self.now)

    def carry_out(self, plan: Plan) -> None:
        for delete in plan.deletes:
            self._delete(delete)
        for retire in plan.retires:
            self._retire(retire)
        for create in plan.creates:
            model = self.models[create.model_id]
            if create.template_hash == model.template_hash:
                self._names += 1
                name = f"{create.model_id}-{self._names}"
                model.pods.append(SimulatedPod(name=name, template_hash=create.template_hash, created_at=self.now))
        for model_id, status in plan.statuses.items():
            self.models[model_id].status = status

    def _delete(self, delete: DeletePod) -> None:
        model = self.models[delete.model_id]
        for pod in model.pods:
            if pod.name == delete.uid and pod.state is not PodState.GOING:
                if delete.failure is not None:
                    self._count_failure(model, pod, delete.failure)
                # SIGTERM: what it runs is finished; `finish` and `gone` come later.
                pod.state = PodState.GOING

    def _retire(self, retire: RetirePod) -> None:
        for pod in self.models[retire.model_id].pods:
            idle = self.steady - pod.quiet_since
            agrees = pod.state is PodState.READY and not pod.in_flight and idle >= retire.idle_for_seconds - 1e-3
            if pod.name == retire.uid and agrees:
                pod.state = PodState.RETIRED

    def _observe(self, model: SimulatedModel) -> ObservedModel:
        return ObservedModel(
            model=model.model,
            template_hash=model.template_hash,
            status=model.status,
            demand=model.demand,
            pods=tuple(map(self._observe_pod, model.pods)),
            cached=True,
            failures=model.failures,
            last_failure=model.last_failure,
            last_failed_at=model.last_failed_at,
        )

    def _observe_pod(self, pod: SimulatedPod) -> ObservedPod:
        serves = pod.state in (PodState.READY, PodState.RETIRED)
        idle = 0.0 if pod.in_flight else self.steady - pod.quiet_since
        activity = Activity(running=pod.in_flight, queued=0, requests_total=0, idle_seconds=idle)
        return ObservedPod(
            name=pod.name,
            uid=pod.name,
            template_hash=pod.template_hash,
            state=pod.state,
            created_at=pod.created_at,
            ready_at=pod.ready_at,
            activity=activity if serves and pod.answers else None,
            activity_at=self.now if serves and pod.answers else None,
            failure=pod.failure,
            unschedulable=pod.unschedulable,
        )
