"""The decider runs a small world in which anything may happen between looking, deciding and doing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hfmodel_api.spec import HFModel, HFModelSpec, Scaling
from hfmodel_api.status import Phase
from hfmodel_operator.decide import decide
from hfmodel_operator.observed import Observed, ObservedModel, ObservedPod, PodState, Settings
from hfmodel_operator.plan import Plan
from support.decider_world import CRASH, GATED, SimulatedModel, SimulatedPod, World

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIVE = (PodState.FETCHING, PodState.STARTING, PodState.READY)
NAMES = ("a", "b", "c")
ROUNDS_TO_REST = 6
LONG, MOMENT = timedelta(hours=1), timedelta(milliseconds=1)
# Which pods an event can befall.
STATES = {
    "finish": (PodState.READY, PodState.GOING),
    "go": (PodState.GOING,),
    "silence": (PodState.READY,),
    "crash": (PodState.STARTING, PodState.READY),
    "gated": (PodState.STARTING,),
    "no room": (PodState.STARTING,),
    "back": (PodState.RETIRED,),
}

scalings = st.builds(
    lambda least, more, idle, target: Scaling(
        min_replicas=least,
        max_replicas=max(1, least + more),
        idle_timeout=timedelta(seconds=idle),
        target_in_flight=target,
        scale_down_delay=timedelta(seconds=10),
        start_timeout=timedelta(seconds=120),
    ),
    st.sampled_from([0, 0, 0, 1]),
    st.integers(0, 2),
    st.sampled_from([0, 1, 30, 600]),
    st.sampled_from([1, 4]),
)


class DeciderWorld(RuleBasedStateMachine):
    """Rules are what the world may do; `decide` and `carry_out` are apart, so that it may do it in between."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World([], Settings(), START)

    @initialize(
        specs=st.lists(scalings, min_size=1, max_size=3),
        limit=st.sampled_from([None, 1, 2]),
        surge=st.sampled_from([0, 1]),
    )
    def begin(self, specs: list[Scaling], limit: int | None, surge: int) -> None:
        models = [
            SimulatedModel(model=HFModel(id=name, spec=HFModelSpec(model="org/repo", scaling=scaling)))
            for name, scaling in zip(NAMES, specs, strict=False)
        ]
        self.world = World(models, Settings(max_loaded_models=limit, surge=surge), START)

    def _model(self, index: int) -> SimulatedModel:
        models = list(self.world.models.values())
        return models[index % len(models)]

    def _pod(self, index: int, *states: PodState) -> tuple[SimulatedModel, SimulatedPod] | None:
        pods = list(self.world.pods(*states))
        return pods[index % len(pods)] if pods else None

    # What callers do.

    @rule(index=st.integers(0, 2), calls=st.sampled_from([1, 1, 3, 9]))
    def call(self, index: int, calls: int) -> None:
        for _ in range(calls):
            self.world.call(self._model(index))

    @rule(index=st.integers(0, 2), what=st.sampled_from(["leave", "release", "load", "repeat", "change template"]))
    def somebody_else(self, index: int, what: str) -> None:
        model = self._model(index)
        match what:
            case "leave":
                model.held = 0
            case "release":
                self.world.release(model)
            case "repeat" if not model.held:
                pass
            case "load" | "repeat":
                self.world.want(model)
            case _:
                self.world.change_template(model)

    # What pods do.

    @rule(index=st.integers(0, 9), everybody=st.booleans())
    def become_ready(self, index: int, everybody: bool) -> None:
        for found in list(self.world.pods(PodState.STARTING)) if everybody else [self._pod(index, PodState.STARTING)]:
            if found:
                self.world.become_ready(*found)

    @rule(
        index=st.integers(0, 9), what=st.sampled_from(["finish", "go", "silence", "crash", "gated", "no room", "back"])
    )
    def a_pod(self, index: int, what: str) -> None:
        if not (found := self._pod(index, *STATES[what])):
            return
        model, pod = found
        match what:
            case "finish":
                self.world.finish(pod)
            case "go" if not pod.in_flight:
                self.world.gone(model, pod)
            case "silence":
                pod.answers = not pod.answers
            case "crash" | "gated":
                self.world.fail(model, pod, CRASH if what == "crash" else GATED)
            case "no room":
                pod.unschedulable = True
            case "back":  # a retirement ends by itself
                pod.state = PodState.READY

    @rule()
    def all_finish(self) -> None:
        for model, pod in list(self.world.pods(PodState.READY, PodState.GOING)):
            self.world.finish(pod)
            if pod.state is PodState.GOING:
                self.world.gone(model, pod)

    # What else happens.

    @rule(seconds=st.sampled_from([0.2, 1.0, 6.0, 31.0, 61.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([-3600.0, -2.0, 2.0, 3600.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        self.world.jump(seconds)

    # What the operator does.

    @precondition(lambda self: self.world.pending is None)
    @rule()
    def decide(self) -> None:
        observed = self.world.observe()
        plan = self.world.decide()
        check_plan(observed, plan, self.world)
        self.world.pending = plan

    @precondition(lambda self: self.world.pending is not None)
    @rule()
    def carry_out(self) -> None:
        assert self.world.pending is not None
        self.world.carry_out(self.world.pending)
        self.world.pending = None

    @precondition(lambda self: self.world.pending is None)
    @rule()
    def decide_and_carry_out(self) -> None:
        self.decide()
        self.carry_out()

    @precondition(lambda self: self.world.pending is None)
    @rule()
    def comes_to_rest(self) -> None:
        rest(self.world)

    # What must hold.

    @invariant()
    def the_pool_limit_holds(self) -> None:
        limit = self.world.settings.max_loaded_models
        assert limit is None or sum(bool(model.pods) for model in self.world.models.values()) <= limit

    @invariant()
    def nobody_has_too_many_pods(self) -> None:
        for model in self.world.models.values():
            most = model.model.spec.scaling.max_replicas + self.world.settings.surge
            assert model.count(*LIVE) <= most

    def teardown(self) -> None:
        if self.world.models:
            everybody_is_served_in_the_end(self.world)


def check_plan(observed: Observed, plan: Plan, world: World) -> None:
    """What holds for every plan."""
    assert plan == world.decide(), "the same picture at the same time gives the same plan"
    assert plan.look_again_at is None or plan.look_again_at > world.now
    check_rests(observed, plan, world)
    for model in observed.models:
        check_asked(model, plan)
        check_deleted(model, plan, world.settings)
        check_created(model, plan)
        check_woken(model, plan, world)


def check_rests(observed: Observed, plan: Plan, world: World) -> None:
    """Who rests could have been left out, now and for as long as it may rest."""
    awake = Observed(models=tuple(model for model in observed.models if model.model.id not in plan.rests))
    without = decide(awake, world.settings, world.now)
    for what in ("deletes", "retires", "prefetches", "creates", "statuses"):
        assert getattr(without, what) == getattr(plan, what)
    for model in observed.models:
        due = plan.rests.get(model.model.id, world.now)
        last = world.now + LONG if due is None else max(due - MOMENT, world.now)
        if model.model.id in plan.rests and not world.set_back:
            later = decide(Observed(models=(model,)), world.settings, last)
            acts = (later.deletes, later.retires, later.creates, later.prefetches, dict(later.statuses))
            assert acts == ((), (), (), (), {}), "it was to rest until then"


def check_asked(model: ObservedModel, plan: Plan) -> None:
    asked = [pod for pod in model.pods for retire in plan.retires if retire.uid == pod.uid]
    assert len(asked) == len({pod.uid for pod in asked}), "a pod is asked once"
    for pod in asked:
        assert pod.state is PodState.READY
        assert pod.activity is not None, "silence is not idleness"
        assert not pod.activity.busy
    live = [pod for pod in model.pods if pod.state in LIVE]
    if len(asked) == len(live) > 0:
        assert model.model.spec.scaling.min_replicas == 0, "a pinned model is never asked to go altogether"


def check_deleted(model: ObservedModel, plan: Plan, settings: Settings) -> None:
    deleted = [pod for pod in model.pods for delete in plan.deletes if delete.uid == pod.uid]
    assert not any(pod.state is PodState.GOING for pod in deleted)
    ready = [pod for pod in deleted if pod.state is PodState.READY]
    if not ready:
        return
    if any(
        delete.why.startswith("its turn in the pool is over") for delete in plan.deletes if delete.uid == ready[0].uid
    ):
        check_displaced(model, ready, settings)
        return
    assert all(pod.template_hash != model.template_hash for pod in ready), "only a rollout deletes ready pods"
    assert settings.surge == 0 or stays_served(model, deleted) or any(pod.unschedulable for pod in model.pods)


def check_displaced(model: ObservedModel, told: list[ObservedPod], settings: Settings) -> None:
    assert settings.max_loaded_models is not None, "without a limit there are no turns"
    assert model.model.spec.scaling.min_replicas == 0, "a pinned model keeps its place"
    assert len(told) == sum(pod.state in LIVE for pod in model.pods), "it gives up its place, not one pod of it"


def stays_served(model: ObservedModel, deleted: list[ObservedPod]) -> bool:
    return any(pod.state is PodState.READY and pod not in deleted for pod in model.pods)


def check_created(model: ObservedModel, plan: Plan) -> None:
    creates = [create for create in plan.creates if create.model_id == model.model.id]
    if creates and not any(pod.state in LIVE for pod in model.pods):
        assert len(creates) <= max(1, model.model.spec.scaling.min_replicas), "one need, one pod"
    retires = [retire for retire in plan.retires if retire.model_id == model.model.id]
    assert not (creates and retires), "no model grows and shrinks at once"


def check_woken(model: ObservedModel, plan: Plan, world: World) -> None:
    """A model without pods is woken for a want that was not met, never for one that was, or that a failure outlived."""
    asleep = not any(pod.state in LIVE for pod in model.pods)
    woken = asleep and any(create.model_id == model.model.id for create in plan.creates)
    if woken and model.model.spec.scaling.min_replicas == 0 and not world.set_back:
        assert world.models[model.model.id].unmet
        wanted, failed_at = model.demand.wanted_at, model.last_failed_at
        if model.failures and wanted is not None and failed_at is not None:
            assert failed_at <= wanted + world.settings.want_repeat, "somebody still waits"


def rest(world: World) -> None:
    """With nothing else happening, no time passing, and every going pod gone at once, deciding comes to an end."""
    for _ in range(ROUNDS_TO_REST):
        plan = world.decide()
        check_plan(world.observe(), plan, world)
        if not (plan.creates or plan.deletes or plan.retires or plan.prefetches or plan.statuses):
            return
        world.carry_out(plan)
        for model, pod in list(world.pods(PodState.GOING)):
            world.finish(pod)
            world.gone(model, pod)
    pytest.fail(f"does not come to rest: {plan}")


def everybody_is_served_in_the_end(world: World) -> None:
    """From here on nothing fails and wants are repeated: every caller is served, unless pins take all places."""
    if world.pending is not None:
        world.carry_out(world.pending)
    for _ in range(200):
        quiet_step(world)
        if not any(model.held for model in world.models.values()):
            return
    limit = world.settings.max_loaded_models
    pinned = sum(model.model.spec.scaling.min_replicas > 0 for model in world.models.values())
    waiting = [model for model in world.models.values() if model.held]
    assert limit is not None, f"never served: {waiting}"
    assert pinned >= limit, f"never served: {waiting}"
    assert all(model.status.phase is Phase.STARTING for model in waiting), "and the status says why"


def quiet_step(world: World) -> None:
    """Five seconds in which everything goes well."""
    for model, pod in list(world.pods(*LIVE)):
        pod.answers = True
        if pod.state is PodState.STARTING:
            world.become_ready(model, pod)
        world.finish(pod) if pod.in_flight else None
    for model in world.models.values():
        if model.held:
            world.want(model)
    rest(world)
    world.advance(5)


@pytest.mark.parametrize("places", [1, 2])
def test_callers_who_leave_no_gap_keep_nobody_waiting_for_ever(places: int) -> None:
    models = [SimulatedModel(model=HFModel(id=name, spec=HFModelSpec(model="org/repo"))) for name in NAMES]
    world = World(models, Settings(max_loaded_models=places), START)
    served: dict[str, int] = dict.fromkeys(NAMES, 0)
    for _ in range(120):
        for model in models:
            if not model.held:
                world.call(model)
            if model.held:
                world.want(model)
        rest(world)
        for model, pod in list(world.pods(PodState.STARTING)):
            world.become_ready(model, pod)
        for model, _ in world.pods(PodState.READY):
            served[model.model.id] += 1
        world.advance(5)
    fair_share = 120 * places / len(NAMES)
    assert min(served.values()) > 0.6 * fair_share, f"of a fair share of {fair_share:g} looks: {served}"


def test_whatever_happens_no_rule_is_broken_and_everybody_is_served() -> None:
    run_state_machine_as_test(
        DeciderWorld,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
