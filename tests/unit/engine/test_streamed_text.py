"""With the tokenizer classes of the catalogue: what is streamed joins to what decoding all tokens at once gives."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hfmodel_runtime.engine.detokenize import Detokenizer
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from support.catalogue_repos import CATALOGUE, GUIDE, OTHERS, write_tokenizer

_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_REPOS = {stand_in.tokenizer: stand_in for stand_in in (*CATALOGUE.values(), *GUIDE.values(), *OTHERS.values())}


@pytest.fixture(scope="module", params=_REPOS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelTokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(_REPOS[request.param], directory)
    return ModelTokenizer(AutoTokenizer.from_pretrained(directory), model_type="text", seq2seq=False)


def streamed(tokenizer: ModelTokenizer, token_ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer.decode_all, special_ids=tokenizer.special_ids, byte_ids=tokenizer.byte_ids)
    return [*map(detokenizer.push, token_ids), detokenizer.flush()]


@_UNHURRIED
@given(token_ids=st.lists(st.integers(0, 450), max_size=40))  # and some that the tokenizer does not have
def test_any_tokens_join_to_their_full_decode(tokenizer: ModelTokenizer, token_ids: list[int]) -> None:
    assert "".join(streamed(tokenizer, token_ids)) == tokenizer.decode(token_ids)


@_UNHURRIED
@given(text=st.text(max_size=20).filter(lambda text: "\ufffd" not in text))
def test_any_text_streams_without_a_broken_character(tokenizer: ModelTokenizer, text: str) -> None:
    pieces = streamed(tokenizer, tokenizer.encode(text))
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("tokenizer", ["GemmaTokenizer", "LlamaTokenizer"], indirect=True)
def test_a_long_text_in_a_script_without_tokens_comes_before_its_end(tokenizer: ModelTokenizer) -> None:
    text = "ሰላም" * 20
    pieces = streamed(tokenizer, tokenizer.encode(text))
    assert "".join(pieces).strip() == text
    assert sum(map(bool, pieces)) > 2, "not all of it at once"
