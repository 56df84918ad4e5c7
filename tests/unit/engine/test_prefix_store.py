"""Which beginnings are kept, which of them is found again, and what gives way."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_runtime.engine.prefixes import MOST, SHORTEST, PrefixStore

_BYTES = 8  # of a token's states, below


def _states(tokens: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.zeros(1, 1, tokens, 1), torch.ones(1, 1, tokens, 1))]


def _store(*kept: list[int], limit: int = 10_000) -> PrefixStore:
    store = PrefixStore(limit)
    for tokens in kept:
        store.add(tokens, _states(len(tokens)))
    return store


def _tokens(count: int, *, first: int = 0) -> list[int]:
    return list(range(first, first + count))


def test_the_longest_common_beginning_is_found() -> None:
    store = _store([*_tokens(30), 900, 901], [*_tokens(40), 902])
    found = store.find([*_tokens(35), 903])
    assert found is not None
    assert (found.length, len(found.kept.tokens)) == (35, 41)


def test_the_last_token_is_left_to_compute() -> None:
    found = _store(_tokens(30)).find(_tokens(30))
    assert found is not None
    assert found.length == 29


def test_a_beginning_that_differs_in_its_first_token_is_not_found() -> None:
    assert _store(_tokens(40)).find([999, *_tokens(40)[1:]]) is None


def test_few_common_tokens_are_not_worth_while() -> None:
    assert _store(_tokens(40)).find([*_tokens(SHORTEST - 1), 999, 998]) is None


def test_what_is_only_prolonged_gives_way() -> None:
    store = _store(_tokens(30), _tokens(60))
    assert store.size == 60 * _BYTES


def test_what_was_used_last_stays() -> None:
    store = _store(_tokens(30), _tokens(30, first=100), limit=60 * _BYTES)
    store.find([*_tokens(30), 999])
    store.add(_tokens(30, first=200), _states(30))
    assert store.find([*_tokens(30), 999]) is not None
    assert store.find([*_tokens(30, first=100), 999]) is None
    assert store.size == 60 * _BYTES


def test_only_what_is_new_long_enough_and_fits_is_wanted() -> None:
    store = _store(_tokens(30), limit=100 * _BYTES)
    wanted = {
        count: store.wants(_tokens(count), bytes_per_token=_BYTES) for count in (SHORTEST - 1, 29, 30, 31, 100, 101)
    }
    assert wanted == {SHORTEST - 1: False, 29: False, 30: False, 31: True, 100: True, 101: False}


def test_of_very_many_small_ones_the_last_used_stay() -> None:
    store = _store(*(_tokens(20, first=1000 * number) for number in range(MOST + 1)), limit=2**40)
    assert store.find(_tokens(20)) is None
    assert store.find(_tokens(20, first=1000)) is not None
    assert store.size == MOST * 20 * _BYTES


@st.composite
def _stores(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    """What is kept and what is asked for: few different tokens, so that beginnings are alike in part."""
    sequences = st.lists(st.integers(0, 1), min_size=SHORTEST, max_size=SHORTEST + 6)
    alike = sequences.map(lambda tokens: [0] * (SHORTEST - 1) + tokens)
    return draw(st.lists(sequences | alike, max_size=8)), draw(sequences | alike)


def _alike(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


@given(_stores())
def test_nothing_longer_is_kept_than_what_is_found(given_: tuple[list[list[int]], list[int]]) -> None:
    kept, asked = given_
    store = _store(*kept)
    longest = max((_alike(tokens, asked[:-1]) for tokens in kept), default=0)
    found = store.find(asked)
    assert (0 if found is None else found.length) == (longest if longest >= SHORTEST else 0)
    if found is not None:
        assert list(found.kept.tokens[: found.length]) == asked[: found.length]
