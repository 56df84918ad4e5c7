"""`Tokenizer` over transformers' AutoTokenizer."""

import re
import threading
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from hfmodel_runtime.engine.chat import (
    HUMAN_STOP,
    ChatFormat,
    choose_format,
    human_assistant_prompt,
    plain_prompt,
)
from hfmodel_runtime.engine.protocol import ChatMessage

# How tokenizers write the bytes of characters that have no token of their own.
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class ModelTokenizer:
    """One model's tokenizer, safe to call from any thread.

    Encoding has a lock, decoding has another: the engine decodes at every token and must not wait for a long prompt.

    Args:
        tokenizer: transformers' tokenizer.
        model_type: spec.type, for models without a chat template.
    """

    def __init__(self, tokenizer: Any, *, model_type: str, seq2seq: bool) -> None:
        self._tokenizer = tokenizer
        self._encoding = threading.Lock()
        self._decoding = threading.Lock()
        self._size = len(tokenizer)
        added = tokenizer.added_tokens_decoder.items()
        self.special_ids = frozenset(tokenizer.all_special_ids) | {token_id for token_id, t in added if t.special}
        self.byte_ids = frozenset(
            token_id for token, token_id in tokenizer.get_vocab().items() if _BYTE_TOKEN.fullmatch(token)
        )
        self._format = choose_format(
            has_template=bool(tokenizer.chat_template),
            seq2seq=seq2seq,
            model_type=model_type,
            has_eos=tokenizer.eos_token_id is not None,
        )

    @property
    def chat_format(self) -> str:
        return self._format.value

    @property
    def chat_stop(self) -> tuple[str, ...]:
        return (HUMAN_STOP,) if self._format is ChatFormat.HUMAN_ASSISTANT else ()

    def encode(self, text: str) -> list[int]:
        token_ids = self._ids(text, add_special_tokens=True)
        if token_ids:
            return token_ids
        first = next((i for i in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id) if i is not None), None)
        return [] if first is None else [first]

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        match self._format:
            case ChatFormat.TEMPLATE:
                return self._templated(messages)
            case ChatFormat.DIALOGPT:
                turns = [self._ids(message.content, add_special_tokens=False) for message in messages]
                return [token_id for turn in turns for token_id in (*turn, self._tokenizer.eos_token_id)]
            case ChatFormat.PLAIN:
                return self.encode(plain_prompt(messages))
            case _:
                return self.encode(human_assistant_prompt(messages))

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        if skip_special_tokens:
            return self.decode_all([token_id for token_id in token_ids if token_id not in self.special_ids])
        return self.decode_all(token_ids)

    def decode_all(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`, special tokens included."""
        # Some models have more embeddings than their tokenizer has tokens.
        known = [token_id for token_id in token_ids if 0 <= token_id < self._size]
        with self._decoding:
            return str(self._tokenizer.decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def token_text(self, token_id: int) -> str:
        """One token alone, as shown beside its log probability."""
        return self.decode_all([token_id])

    def _ids(self, text: str, *, add_special_tokens: bool) -> list[int]:
        with self._encoding:
            # Not verbose: a prompt beyond the model's length is the caller's error and is answered as one.
            encoded = self._tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)
        return list(encoded["input_ids"])

    def _templated(self, messages: Sequence[ChatMessage]) -> list[int]:
        conversation = [{"role": message.role, "content": message.content} for message in messages]
        try:
            with self._encoding:
                token_ids = self._tokenizer.apply_chat_template(
                    conversation, add_generation_prompt=True, tokenize=True, return_dict=False
                )
        except (TemplateError, TypeError, KeyError, IndexError) as error:
            raise ValueError(f"the model's chat template refuses these messages: {error}") from error
        return list(token_ids)
