"""A plan depends on its seed alone, strikes with everything, and leaves time to heal."""

import itertools

import pytest

from chaos.plan import Kind, draw, waking_hours

KINDS = (Kind.KILL_RUNTIME, Kind.KILL_RUNTIME, Kind.FLOOD, Kind.UNLOAD, Kind.CHANGE_SPEC)
GAP = (2.0, 6.0)


def test_the_same_seed_is_the_same_plan_and_another_seed_another() -> None:
    plans = [draw(seed=seed, seconds=60, kinds=KINDS, gap=GAP) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_comes_as_often_as_it_is_named_before_any_comes_again(seed: int) -> None:
    plan = draw(seed=seed, seconds=120, kinds=KINDS, gap=GAP)
    first, second = plan[: len(KINDS)], plan[len(KINDS) : 2 * len(KINDS)]
    assert sorted(fault.kind for fault in first) == sorted(fault.kind for fault in second) == sorted(KINDS)


@pytest.mark.parametrize("seed", range(20))
def test_faults_keep_their_distance_and_leave_the_start_and_the_end_quiet(seed: int) -> None:
    times = [fault.at for fault in draw(seed=seed, seconds=90, kinds=KINDS, gap=GAP)]
    assert times[0] >= 4
    assert times[-1] <= 84
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(GAP[0] - 0.1 <= gap <= GAP[1] + 0.1 for gap in gaps)


@pytest.mark.parametrize("seed", ["1/a", "2/a", "2/b"])
def test_callers_pause_longer_than_a_model_takes_to_fall_asleep(seed: str) -> None:
    hours = waking_hours(seed=seed, seconds=300)
    assert hours == waking_hours(seed=seed, seconds=300)
    assert all(begin < end <= 300 for begin, end in hours)
    pauses = [later[0] - earlier[1] for earlier, later in itertools.pairwise(hours)]
    assert min(pauses) >= 3
    assert max(pauses) > 7
