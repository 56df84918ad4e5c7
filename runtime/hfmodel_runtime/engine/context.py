"""How many tokens a model takes, and which of them end or begin a text, read from its config."""

from collections.abc import Iterable
from typing import Any

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure

_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length")
_TOKENIZER_LIMIT = 10_000_000  # tokenizers without a limit say 1e30
_DEFAULT_LENGTH = 2048  # for relative positions, which have no limit of their own


def model_length(config: Any, tokenizer: Any) -> int:
    """Tokens of prompt and answer (seq2seq: of each) that the model was made for."""
    text_config = config.get_text_config(decoder=True)
    for key in _LENGTH_KEYS:
        length = getattr(text_config, key, None)
        if isinstance(length, int) and length > 0:
            return length
    length = getattr(tokenizer, "model_max_length", None)
    return int(length) if length and length < _TOKENIZER_LIMIT else _DEFAULT_LENGTH


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: the generation config's, else the config's, else the tokenizer's."""
    candidates = (getattr(where, "eos_token_id", None) for where in (model.generation_config, model.config, tokenizer))
    return frozenset(next((_ids(found) for found in candidates if found is not None), ()))


def decoder_start(model: Any) -> tuple[int, ...] | None:
    """Ids that a seq2seq model's decoder begins with, a forced first token included; None for a decoder-only model.

    Raises:
        LoadFailure: a seq2seq model whose config does not say.
    """
    if not model.config.is_encoder_decoder:
        return None
    start = _setting(model, "decoder_start_token_id")
    if start is None:
        start = _setting(model, "bos_token_id")
    if start is None:
        raise LoadFailure(Reason.CONFIG_INVALID, "config.json names no decoder_start_token_id")
    forced = _setting(model, "forced_bos_token_id")
    return (*_ids(start), *(() if forced is None else _ids(forced)))


def _setting(model: Any, key: str) -> Any:
    found = getattr(model.generation_config, key, None)
    return getattr(model.config, key, None) if found is None else found


def _ids(value: int | Iterable[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
