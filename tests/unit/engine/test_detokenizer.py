from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from hfmodel_runtime.engine.detokenize import Detokenizer
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from support.tiny_models import BOS, EOS, make_tiny_tokenizer

# A busy machine is no failure.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_TEXTS = ["Grüße aus Köln", "東京タワー", "🙂👍🏽 ok", "naïve café\n\n  indented", " leading and trailing ", ""]


@cache
def _byte_level() -> ModelTokenizer:
    return ModelTokenizer(make_tiny_tokenizer(), model_type="text", seq2seq=False)


@cache
def _sentencepiece_like() -> Tokenizer:
    """As llama's: a space is part of the word after it, unknown characters are bytes, one leading space is dropped."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "n", "▁a", "▁b", "▁an", "é"]
    backend = Tokenizer(
        models.BPE(
            vocab={word: number for number, word in enumerate(words)},
            merges=[("▁", "a"), ("▁", "b"), ("▁a", "n")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return backend


def _streamed(decode: Callable[[Sequence[int]], str], token_ids: Sequence[int]) -> list[str]:
    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    return [*pieces, detokenizer.flush()]


@pytest.mark.parametrize("text", _TEXTS)
def test_byte_level_pieces_join_to_the_text(text: str) -> None:
    tokenizer = _byte_level()
    pieces = _streamed(tokenizer.decode_all, tokenizer._ids(text, add_special_tokens=False))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("text", [*_TEXTS[:-1], "a an  b   a", "a🙂b 東 an"])
def test_leading_spaces_and_byte_tokens_survive(text: str) -> None:
    backend = _sentencepiece_like()
    token_ids = backend.encode(text).ids
    pieces = _streamed(backend.decode, token_ids)
    assert "".join(pieces) == backend.decode(token_ids) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("prompt", ["a", "a an", "b 東", "an a b an a b an a b an a b"])
def test_an_answer_keeps_the_space_between_it_and_its_prompt(prompt: str) -> None:
    backend = _sentencepiece_like()
    prompt_ids = backend.encode(prompt).ids
    token_ids = backend.encode(f"{prompt} an 🙂 b").ids[len(prompt_ids) :]
    detokenizer = Detokenizer(backend.decode, context=prompt_ids)
    assert "".join(detokenizer.push(token_id) for token_id in token_ids) + detokenizer.flush() == " an 🙂 b"


@_UNHURRIED
@given(token_ids=st.lists(st.integers(min_value=0, max_value=330), max_size=30), cut=st.integers(0, 30))
def test_a_whole_character_in_the_context_changes_no_text(token_ids: list[int], cut: int) -> None:
    tokenizer = _byte_level()
    context = tokenizer._ids("ab né🙂東", add_special_tokens=False)[:cut]
    assume(not tokenizer.decode_all(context).endswith("\ufffd"))
    detokenizer = Detokenizer(tokenizer.decode_all, special_ids=tokenizer.special_ids, context=context)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(token_ids)


def test_text_comes_as_soon_as_it_is_certain() -> None:
    tokenizer = _byte_level()
    token_ids = tokenizer._ids("a🙂", add_special_tokens=False)
    detokenizer = Detokenizer(tokenizer.decode_all)
    assert detokenizer.push(token_ids[0]) == "a"
    assert [detokenizer.push(token_id) for token_id in token_ids[1:]][-1] == "🙂"


def test_an_unfinished_character_at_the_end_is_what_a_full_decode_makes_of_it() -> None:
    tokenizer = _byte_level()
    token_ids = tokenizer._ids("a🙂", add_special_tokens=False)[:-1]
    assert "".join(_streamed(tokenizer.decode_all, token_ids)) == tokenizer.decode(token_ids)


def test_special_tokens_are_no_text() -> None:
    tokenizer = _byte_level()
    token_ids = tokenizer._ids(f"one{BOS} two{EOS}", add_special_tokens=False)
    detokenizer = Detokenizer(tokenizer.decode_all, special_ids=tokenizer.special_ids)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(token_ids) == "one two"


@_UNHURRIED
@given(token_ids=st.lists(st.integers(min_value=0, max_value=330), max_size=40))
def test_any_tokens_join_to_their_full_decode(token_ids: list[int]) -> None:
    tokenizer = _byte_level()
    detokenizer = Detokenizer(tokenizer.decode_all, special_ids=tokenizer.special_ids)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(token_ids)


@_UNHURRIED
@given(text=st.text(max_size=30).filter(lambda text: "\ufffd" not in text))
def test_any_text_streams_without_a_broken_character(text: str) -> None:
    tokenizer = _byte_level()
    pieces = _streamed(tokenizer.decode_all, tokenizer._ids(text, add_special_tokens=False))
    assert not any("\ufffd" in piece for piece in pieces)


@_UNHURRIED
@given(text=st.text(alphabet="ab né🙂東", max_size=20))
def test_any_sentencepiece_text_joins_to_its_full_decode(text: str) -> None:
    backend = _sentencepiece_like()
    token_ids = backend.encode(text).ids
    assert "".join(_streamed(backend.decode, token_ids)) == backend.decode(token_ids)
