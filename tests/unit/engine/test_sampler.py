from collections import Counter
from dataclasses import replace

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hfmodel_runtime.engine.penalties import RowSampler, edited
from hfmodel_runtime.engine.protocol import Sampling
from hfmodel_runtime.engine.sampler import kept, likeliest, sample

_VOCABULARY = 3000
_EOS = 5
_SAMPLING = Sampling(max_new_tokens=1, seed=0)


def _row(sampling: Sampling, prompt: tuple[int, ...] = (), answer: tuple[int, ...] = ()) -> RowSampler:
    row = RowSampler(sampling, prompt=prompt, eos_ids=[_EOS])
    for token_id in answer:
        row.record(token_id)
    return row


def _logits(rows: int, *, vocabulary: int = _VOCABULARY, spread: float = 3.0) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(1)) * spread


def _distribution(logits: torch.Tensor, row: RowSampler) -> torch.Tensor:
    tokens = kept(logits, [row], width=min(1024, logits.shape[-1]))
    if not bool(tokens.complete.all()):
        tokens = kept(logits, [row], width=logits.shape[-1])
    weights = torch.zeros_like(logits).scatter(1, tokens.ids, tokens.weights)
    return weights / weights.sum()


@pytest.mark.parametrize("columns", [40, 640, 10_000, 10_037])
@pytest.mark.parametrize("count", [0, 1, 5, 64])
def test_the_likeliest_tokens_are_those_of_topk(columns: int, count: int) -> None:
    scores = torch.randn(7, columns)
    scores[1, columns // 2 :] = -torch.inf
    scores[2] = -torch.inf
    scores[3] = scores[3].round()  # many are equal
    scores[4, -1] = 100.0
    count = min(count, columns)
    values, ids = likeliest(scores, count)
    assert torch.equal(values, scores.topk(count, dim=-1).values)
    assert torch.equal(scores.gather(1, ids), values)
    assert all(len(set(row)) == count for row in ids.tolist())


@pytest.mark.parametrize("top_k", [0, 1, 50, 2000, 5000])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3, 0.999])
@pytest.mark.parametrize("min_p", [0.0, 0.05])
@pytest.mark.parametrize("temperature", [0.7, 1.9])
def test_filters_leave_the_distribution_that_transformers_leaves(
    top_k: int, top_p: float, min_p: float, temperature: float
) -> None:
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(min(top_k, _VOCABULARY)))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    if min_p:
        warpers.append(MinPLogitsWarper(min_p))
    sampling = replace(_SAMPLING, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    for logits in _logits(3).unsqueeze(1):
        expected = warpers(torch.zeros(1, 1, dtype=torch.long), logits).softmax(dim=-1)
        torch.testing.assert_close(_distribution(logits, _row(sampling)), expected, atol=1e-6, rtol=1e-4)


def test_ties_with_the_last_of_top_k_stay_as_in_transformers() -> None:
    logits = torch.tensor([[3.0, 2.0, 2.0, 1.0]])
    row = _row(replace(_SAMPLING, top_k=2))
    assert (_distribution(logits, row) > 0).tolist() == [[True, True, True, False]]


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param(_SAMPLING, id="plain"),
        pytest.param(replace(_SAMPLING, top_p=0.8, top_k=20), id="filtered"),
        pytest.param(replace(_SAMPLING, temperature=0.5, min_p=0.02), id="min-p"),
    ],
)
def test_draws_follow_the_distribution(sampling: Sampling) -> None:
    draws = 4000
    logits = _logits(1, vocabulary=30, spread=1.5)
    rows = [_row(replace(sampling, seed=seed)) for seed in range(draws)]
    counts = Counter(choice.token_id for choice in sample(logits.expand(draws, -1), rows) if choice)
    for token_id, probability in enumerate(_distribution(logits, rows[0])[0].tolist()):
        deviation = (draws * probability * (1 - probability)) ** 0.5
        assert abs(counts[token_id] - draws * probability) <= 4.5 * deviation, token_id


def test_a_nucleus_beyond_the_likeliest_tokens_is_drawn_in_full() -> None:
    logits = torch.linspace(0.01, 0.0, _VOCABULARY).expand(200, -1)
    rows = [_row(replace(_SAMPLING, top_p=0.95, seed=seed)) for seed in range(200)]
    drawn = [choice.token_id for choice in sample(logits, rows) if choice]
    assert max(drawn) > 2000
    assert max(drawn) <= 0.95 * _VOCABULARY + 20


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param(replace(_SAMPLING, seed=11), id="plain"),
        pytest.param(replace(_SAMPLING, seed=12, top_p=0.9, temperature=1.4), id="top-p"),
        pytest.param(replace(_SAMPLING, seed=13, top_k=40, min_p=0.01), id="top-k"),
        pytest.param(replace(_SAMPLING, seed=-(2**63)), id="most-negative-seed"),
    ],
)
def test_a_seed_gives_the_same_tokens_alone_and_in_any_batch(sampling: Sampling) -> None:
    logits = _logits(3)
    others = [
        _row(replace(_SAMPLING, temperature=0.0, seed=None)),
        _row(replace(_SAMPLING, top_k=1500, seed=None)),
    ]
    alone, together = _row(sampling), _row(sampling)
    first = [sample(logits[:1], [alone])[0] for _ in range(20)]
    second = [sample(logits, [together, *others])[0] for _ in range(20)]
    assert first == second
    assert len(set(first)) > 1


def test_no_seed_is_unpredictable() -> None:
    logits = _logits(1)
    runs = [[sample(logits, [row])[0] for _ in range(20)] for row in (_row(replace(_SAMPLING, seed=None)),) * 2]
    assert runs[0] != runs[1]


@pytest.mark.parametrize("temperature", [1e-7, 1e-30, 1e-46, 5e-324])
def test_greedy_takes_the_likeliest_and_the_tiniest_temperature_does_too(temperature: float) -> None:
    logits = _logits(2)
    rows = [_row(replace(_SAMPLING, temperature=0.0)), _row(replace(_SAMPLING, temperature=temperature))]
    assert [choice.token_id for choice in sample(logits, rows) if choice] == logits.argmax(dim=-1).tolist()


def test_repetition_penalty_is_that_of_transformers() -> None:
    logits, prompt, answer = _logits(2), (3, 4, 4, 9), (9, 17)
    row = _row(replace(_SAMPLING, repetition_penalty=1.7), prompt, answer)
    expected = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([[*prompt, *answer]]), logits[:1].clone())
    changed = edited(logits, [row, _row(_SAMPLING, prompt, answer)])
    torch.testing.assert_close(changed[:1], expected)
    assert torch.equal(changed[1], logits[1]), "another row's penalty"


def test_what_a_bias_and_the_penalties_add_to_one_token_is_summed() -> None:
    sampling = replace(_SAMPLING, presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((3, 2.0), (7, 1.0)))
    rows = [_row(_SAMPLING), _row(sampling, answer=(3, 4, 3))]
    added = edited(torch.zeros(2, 10), rows)
    assert added.tolist() == [[0.0] * 10, [0, 0, 0, 2 - 0.5 - 0.5, -0.75, 0, 0, 1, 0, 0]]


def test_presence_and_frequency_count_the_answer_only() -> None:
    logits = _logits(1)
    row = _row(replace(_SAMPLING, presence_penalty=0.5, frequency_penalty=0.25), prompt=(1, 2), answer=(2, 3, 3))
    difference = (edited(logits, [row]) - logits)[0]
    assert difference[[1, 2, 3]].tolist() == pytest.approx([0.0, -0.75, -1.0], abs=1e-5)
    assert int((difference != 0).sum()) == 2


def test_logit_bias_is_added() -> None:
    logits = _logits(1)
    row = _row(replace(_SAMPLING, temperature=0.0, logit_bias=((42, 100.0), (7, -100.0))))
    choice = sample(logits, [row])[0]
    assert choice is not None
    assert choice.token_id == 42


def test_the_end_token_is_forbidden_until_min_new_tokens_and_with_ignore_eos() -> None:
    logits = torch.zeros(1, 10)
    logits[0, _EOS] = 9.0
    early = _row(replace(_SAMPLING, min_new_tokens=2), answer=(1,))
    late = _row(replace(_SAMPLING, min_new_tokens=2), answer=(1, 1))
    never = _row(replace(_SAMPLING, ignore_eos=True), answer=(1, 1))
    forbidden = [bool(edited(logits, [row])[0, _EOS] == -torch.inf) for row in (early, late, never)]
    assert forbidden == [True, False, True]


def test_logprobs_are_of_the_model_not_of_the_filters() -> None:
    logits = _logits(2)
    asked = replace(_SAMPLING, logprobs=3, temperature=0.2, top_k=2, repetition_penalty=2.0)
    choice, other = sample(logits, [_row(asked, prompt=(1,)), _row(_SAMPLING)])
    assert choice is not None
    assert other is not None
    expected = logits[0].log_softmax(dim=-1)
    assert choice.logprob == pytest.approx(float(expected[choice.token_id]), abs=1e-5)
    assert [token_id for token_id, _ in choice.top] == expected.topk(3).indices.tolist()
    assert [value for _, value in choice.top] == pytest.approx(expected.topk(3).values.tolist(), abs=1e-5)
    assert (other.logprob, other.top) == (None, ())


def test_zero_logprobs_is_the_chosen_token_alone() -> None:
    choice = sample(_logits(1), [_row(replace(_SAMPLING, logprobs=0))])[0]
    assert choice is not None
    assert choice.logprob is not None
    assert choice.top == ()


def test_a_row_that_is_not_a_number_is_reported_and_harms_no_other() -> None:
    logits = _logits(3)
    logits[1, 7] = torch.nan
    rows = [_row(replace(_SAMPLING, temperature=0.0)) for _ in range(3)]
    assert [choice is None for choice in sample(logits, rows)] == [False, True, False]


def test_half_precision_logits_are_sampled_as_floats() -> None:
    choice = sample(_logits(1).bfloat16(), [_row(replace(_SAMPLING, logprobs=1, top_p=0.9))])[0]
    assert choice is not None
