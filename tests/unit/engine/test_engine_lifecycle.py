"""The queue, cancellation, failures and death of the engine, over a batch that does what the test says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from hfmodel_api.wire import MemoryUsage, RuntimeInfo
from hfmodel_runtime.engine.engine import ModelFacts, TransformersEngine
from hfmodel_runtime.engine.protocol import (
    EngineDead,
    EngineLimits,
    FinishReason,
    Load,
    QueueFull,
    Sampling,
    SequenceEvent,
    SequenceRequest,
)
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from support.engine_calls import Answer, generate, submit
from support.scripted_batch import VOCABULARY, ScriptedBatch
from support.tiny_models import make_tiny_tokenizer

_EOS = 300
_LONG = Sampling(max_new_tokens=10_000, temperature=0)
_INFO = RuntimeInfo(
    model_id="scripted",
    model="",
    revision=None,
    architecture="Scripted",
    seq2seq=False,
    device="cpu",
    dtype="float32",
    engine="transformers",
    max_length=20_000,
    chat_format="human-assistant",
    memory_usage=MemoryUsage(total_parameters=0, trainable_parameters=0, estimated_size_mb=0),
    load_seconds=0,
    versions={},
)

Start = Callable[..., TransformersEngine]


@pytest.fixture(params=[False, True], ids=["apart", "one-pass"])
def batch(request: pytest.FixtureRequest) -> ScriptedBatch:
    """Rows that run and rows that begin are computed apart, or in one pass."""
    return ScriptedBatch(one_pass=request.param)


@pytest.fixture
def start(batch: ScriptedBatch) -> Iterator[Start]:
    engines: list[TransformersEngine] = []

    def make(*, eos: int = _EOS, token_budget: int = 10**9, **limits: Any) -> TransformersEngine:
        engine = TransformersEngine(
            batch=batch,
            tokenizer=ModelTokenizer(make_tiny_tokenizer(), model_type="text", seq2seq=False),
            facts=ModelFacts(vocabulary=VOCABULARY, eos_ids=frozenset({eos})),
            info=_INFO,
            limits=EngineLimits(**{"max_length": 20_000, "max_running": 4, "max_queued": 4, **limits}),
            token_budget=token_budget,
        )
        engines.append(engine)
        return engine

    yield make
    batch.turn.set()
    for engine in engines:
        engine.close()


def _sampling(max_new_tokens: int, **other: Any) -> Sampling:
    return Sampling(max_new_tokens=max_new_tokens, temperature=0, **other)


def test_an_answer_ends_at_its_length(start: Start) -> None:
    [answer] = generate(start(), [[10, 20]], [_sampling(3)])
    assert (answer.token_ids, answer.reason) == ([21, 22, 23], FinishReason.LENGTH)


def test_an_answer_ends_at_the_end_token_which_is_no_text(start: Start) -> None:
    engine = start(eos=23)
    [answer] = generate(engine, [[20]], [_sampling(50)])
    assert (answer.token_ids, answer.reason) == ([21, 22, 23], FinishReason.STOP)
    assert answer.text == engine.tokenizer.decode([21, 22])


def test_the_end_token_is_passed_over_with_ignore_eos(start: Start) -> None:
    [answer] = generate(start(eos=23), [[20]], [_sampling(4, ignore_eos=True)])
    assert answer.reason is FinishReason.LENGTH
    assert 23 not in answer.token_ids


def test_a_stop_string_ends_the_answer_and_is_no_text(start: Start) -> None:
    engine = start()
    stop = engine.tokenizer.decode([24, 25])
    [answer] = generate(engine, [[20]], [_sampling(50, stop=(stop,))])
    assert answer.reason is FinishReason.STOP
    assert answer.text == engine.tokenizer.decode([21, 22, 23])
    assert answer.token_ids == [21, 22, 23, 24, 25]


def test_text_held_back_for_a_stop_string_is_given_out_at_the_end(start: Start) -> None:
    engine = start()
    stop = engine.tokenizer.decode([23, 99])
    [answer] = generate(engine, [[20]], [_sampling(3, stop=(stop,))])
    assert answer.text == engine.tokenizer.decode([21, 22, 23])


def test_an_answer_ends_where_the_context_ends(start: Start) -> None:
    engine = start(max_length=5)
    fits, full, too_long = generate(engine, [[1, 2, 3], [1] * 5, [1] * 6], [_sampling(50)] * 3)
    assert (len(fits.token_ids), fits.reason) == (2, FinishReason.LENGTH)
    assert (full.token_ids, full.reason) == ([], FinishReason.LENGTH)
    assert too_long.reason is FinishReason.ERROR
    assert "6 tokens, the model takes 5" in (too_long.error or "")


@pytest.mark.parametrize(
    ("prompt", "sampling", "error"),
    [
        pytest.param([], _sampling(1), "no tokens", id="empty-prompt"),
        pytest.param([1, VOCABULARY], _sampling(1), "vocabulary", id="unknown-prompt-token"),
        pytest.param([-1], _sampling(1), "vocabulary", id="negative-token"),
        pytest.param([1], _sampling(1, logit_bias=((VOCABULARY, 1.0),)), "vocabulary", id="unknown-bias-token"),
    ],
)
def test_what_the_model_cannot_take_is_an_error_of_that_sequence(
    start: Start, prompt: list[int], sampling: Sampling, error: str
) -> None:
    bad, good = generate(start(), [prompt, [20]], [sampling, _sampling(2)])
    assert bad.reason is FinishReason.ERROR
    assert error in (bad.error or "")
    assert good.reason is FinishReason.LENGTH


def test_rows_share_the_batch_up_to_max_running(start: Start, batch: ScriptedBatch) -> None:
    generate(start(max_running=3), [[row] for row in range(6)], [_sampling(20)] * 6)
    assert batch.most_rows == 3
    assert batch.joined == list(range(6))


def test_submit_takes_all_or_none(start: Start, batch: ScriptedBatch) -> None:
    batch.turn.clear()
    engine = start(max_running=1, max_queued=2)
    answers, _ = submit(engine, [[1], [2]], [_sampling(5)] * 2)
    with pytest.raises(QueueFull) as full:
        submit(engine, [[3], [4]], [_sampling(5)] * 2)
    assert 1 <= full.value.retry_after <= 60
    accepted, _ = submit(engine, [[3]], [_sampling(5)])
    batch.turn.set()
    assert [answer.wait().reason for answer in (*answers, *accepted)] == [FinishReason.LENGTH] * 3


def test_load_counts_running_and_queued(start: Start, batch: ScriptedBatch) -> None:
    batch.turn.clear()
    engine = start(max_running=1)
    assert engine.load() == Load(0, 0)
    answers, _ = submit(engine, [[1], [2], [3]], [_sampling(5)] * 3)
    assert answers[0].started.wait(60)
    assert engine.load() == Load(running=1, queued=2)
    batch.turn.set()
    for answer in answers:
        answer.wait()
    assert engine.load() == Load(0, 0)


def test_a_running_sequence_is_cancelled_and_its_row_freed(start: Start, batch: ScriptedBatch) -> None:
    engine = start(max_running=2)
    [gone, stays], tickets = submit(engine, [[1], [2]], [_LONG, _sampling(200)])
    assert gone.started.wait(60)
    tickets[0].cancel()
    tickets[0].cancel()
    assert gone.wait().reason is FinishReason.CANCELLED
    assert stays.wait().reason is FinishReason.LENGTH
    assert generate(engine, [[3]], [_sampling(1)])[0].reason is FinishReason.LENGTH
    assert batch.rows == 0


def test_a_queued_sequence_is_cancelled_before_it_runs(start: Start, batch: ScriptedBatch) -> None:
    batch.turn.clear()
    engine = start(max_running=1)
    [first, second], tickets = submit(engine, [[1], [2]], [_sampling(5)] * 2)
    tickets[1].cancel()
    batch.turn.set()
    assert second.wait().reason is FinishReason.CANCELLED
    assert second.token_ids == []
    assert first.wait().reason is FinishReason.LENGTH
    assert batch.joined == [1]


def test_a_prompt_is_cancelled_between_its_pieces(start: Start, batch: ScriptedBatch) -> None:
    batch._pieces = 10**9
    engine = start()
    [answer], [ticket] = submit(engine, [[1]], [_LONG])
    ticket.cancel()
    assert answer.wait().reason is FinishReason.CANCELLED


def test_running_rows_flow_while_a_long_prompt_is_computed(start: Start, batch: ScriptedBatch) -> None:
    engine = start()
    [running], _ = submit(engine, [[1]], [_sampling(50)])
    assert running.started.wait(60)
    batch._pieces = 10**9
    [_], [ticket] = submit(engine, [[2]], [_LONG])
    assert running.wait().reason is FinishReason.LENGTH
    ticket.cancel()


def test_a_prompt_that_fails_ends_alone(start: Start, batch: ScriptedBatch) -> None:
    batch.fail_prefill = lambda row: row == 2
    answers = generate(start(), [[1], [2], [3]], [_sampling(9)] * 3)
    assert [answer.reason for answer in answers] == [FinishReason.LENGTH, FinishReason.ERROR, FinishReason.LENGTH]
    assert "no such prompt" in (answers[1].error or "")


def test_prompts_that_wait_together_are_prefilled_together(start: Start, batch: ScriptedBatch) -> None:
    batch.together = 3
    answers = generate(start(max_running=8, max_queued=8), [[n] for n in range(1, 8)], [_sampling(5)] * 7)
    assert [answer.token_ids for answer in answers] == [list(range(n + 1, n + 6)) for n in range(1, 8)]
    assert batch.begun == [3, 3, 1]


def test_the_first_that_waits_is_prefilled_with_those_of_about_its_length(start: Start, batch: ScriptedBatch) -> None:
    batch.together = 2
    lengths = {1: 30, 2: 5, 3: 60, 4: 32, 5: 6}
    generate(start(max_running=8, max_queued=8), [[n] * count for n, count in lengths.items()], [_sampling(5)] * 5)
    assert batch.joined == [1, 4, 2, 5, 3]


@pytest.mark.parametrize(("max_running", "token_budget"), [(2, 10**9), (8, 70)], ids=["places", "cache"])
def test_no_more_are_prefilled_together_than_there_is_room_for(
    start: Start, batch: ScriptedBatch, max_running: int, token_budget: int
) -> None:
    batch.together = 8
    engine = start(max_running=max_running, max_queued=8, token_budget=token_budget)
    answers = generate(engine, [[n] for n in range(1, 6)], [_sampling(2)] * 5)
    assert {answer.reason for answer in answers} == {FinishReason.LENGTH}
    assert max(batch.begun) == batch.most_rows == 2


def test_of_prompts_prefilled_together_only_the_one_that_fails_ends(start: Start, batch: ScriptedBatch) -> None:
    batch.together = 4
    batch.fail_prefill = lambda row: row == 2
    answers = generate(start(), [[1], [2], [3]], [_sampling(9)] * 3)
    assert [answer.reason for answer in answers] == [FinishReason.LENGTH, FinishReason.ERROR, FinishReason.LENGTH]
    assert batch.begun == [3, 1, 1, 1]


def test_of_prompts_prefilled_together_those_that_ended_do_not_join(start: Start, batch: ScriptedBatch) -> None:
    batch.together = 4
    generate(start(), [[1], [2], [3], [4]], [_sampling(5), _sampling(1), _sampling(5), _sampling(1)])
    assert batch.begun == [4]
    assert batch.joined == [1, 3]


def test_one_of_several_that_start_is_cancelled_and_does_not_join(start: Start, batch: ScriptedBatch) -> None:
    batch.together = 2
    batch._pieces = 10**9
    engine = start()
    [gone, stays], tickets = submit(engine, [[1], [2]], [_LONG, _sampling(3)])
    tickets[0].cancel()
    assert gone.wait().reason is FinishReason.CANCELLED
    assert batch.prefill_now is not None
    batch.prefill_now.finish()
    assert stays.wait().token_ids == [3, 4, 5]
    assert batch.joined == [2]


def test_a_step_that_fails_once_loses_nothing(start: Start, batch: ScriptedBatch) -> None:
    failures = [RuntimeError("hiccup")]
    batch.fail_step = lambda rows: failures.pop() if failures and len(rows) == 3 else None
    answers = generate(start(), [[1], [10], [20]], [_sampling(9)] * 3)
    assert not failures
    assert [answer.token_ids for answer in answers] == [list(range(n + 1, n + 10)) for n in (1, 10, 20)]
    assert [answer.reason for answer in answers] == [FinishReason.LENGTH] * 3


def test_a_step_that_always_fails_ends_its_rows_and_the_engine_goes_on(start: Start, batch: ScriptedBatch) -> None:
    batch.fail_step = lambda rows: RuntimeError("poison") if 2 in rows else None
    engine = start()
    [poisonous] = generate(engine, [[2]], [_sampling(9)])
    assert poisonous.reason is FinishReason.ERROR
    assert "poison" in (poisonous.error or "")
    assert engine.alive
    assert generate(engine, [[1]], [_sampling(9)])[0].reason is FinishReason.LENGTH


def test_rows_that_do_not_fit_are_computed_later_and_lose_nothing(start: Start, batch: ScriptedBatch) -> None:
    engine = start(token_budget=150)
    answers = generate(engine, [[1], [10], [20]], [_sampling(100)] * 3)
    assert [answer.token_ids for answer in answers] == [list(range(n + 1, n + 101)) for n in (1, 10, 20)]
    assert batch.most_rows > 1
    assert len(batch.joined) > 3, "nothing was preempted"


def test_a_sink_that_raises_costs_its_own_sequence(start: Start, batch: ScriptedBatch) -> None:
    def broken(event: SequenceEvent) -> None:
        raise ValueError("a sink must not raise")

    engine, good = start(), Answer()
    requests = [SequenceRequest(prompt=(row,), sampling=_sampling(9)) for row in (1, 2)]
    engine.submit(requests, [broken, good])
    assert good.wait().reason is FinishReason.LENGTH
    assert engine.load() == Load(0, 0)


def test_close_ends_what_runs_and_waits_and_takes_no_more(start: Start) -> None:
    engine = start(max_running=1)
    answers, _ = submit(engine, [[1], [2]], [_LONG] * 2)
    engine.close()
    assert [answer.wait().reason for answer in answers] == [FinishReason.ERROR] * 2
    assert engine.alive
    assert engine.load() == Load(0, 0)
    with pytest.raises(EngineDead):
        submit(engine, [[1]], [_LONG])
    engine.close()


def test_a_broken_device_kills_the_engine_and_everybody_is_told(start: Start, batch: ScriptedBatch) -> None:
    batch.fail_step = lambda rows: torch.AcceleratorError("device-side assert") if len(rows) == 2 else None
    engine = start()
    answers, _ = submit(engine, [[1], [2]], [_LONG] * 2)
    assert [answer.wait().reason for answer in answers] == [FinishReason.ERROR] * 2
    engine._thread.join(60)
    assert not engine.alive
    with pytest.raises(EngineDead):
        submit(engine, [[1]], [_LONG])


def test_death_by_anything_unforeseen_is_noticed(start: Start, batch: ScriptedBatch) -> None:
    batch.fail_step = lambda rows: SystemExit(3)
    engine = start()
    answers, _ = submit(engine, [[1]], [_LONG])
    assert answers[0].wait().reason is FinishReason.ERROR
    engine._thread.join(60)
    assert not engine.alive


def test_an_engine_that_nobody_needs_improves_itself_until_there_is_nothing_left(
    batch: ScriptedBatch, start: Start
) -> None:
    batch.improvements = 3
    engine = start()
    assert batch.improved.wait(10)
    assert batch.improvements == 0
    [answer] = generate(engine, [(7,)], [Sampling(max_new_tokens=2, temperature=0)])
    assert len(answer.token_ids) == 2
