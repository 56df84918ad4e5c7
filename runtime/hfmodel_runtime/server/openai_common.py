"""What OpenAI's two generating calls share: the envelope, the usage, and log probabilities in both their shapes."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hfmodel_runtime.engine.protocol import TokenLogprob
from hfmodel_runtime.server.generation import Answer

# What OpenAI's API shows for "practically impossible"; JSON has no minus infinity.
_LOWEST_LOGPROB: Final = -9999.0


@dataclass(frozen=True, slots=True)
class Envelope:
    """The outside of a response, or of each chunk of one."""

    prefix: str  # of the id: "chatcmpl", "cmpl"
    kind: str  # `object`
    model: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def around(self, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{self.id}",
            "object": self.kind,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
            **more,
        }


def usage(prompt_tokens: int, answers: Sequence[Answer]) -> dict[str, int]:
    """Tokens in and out, the end tokens included; a prompt with several answers counts once."""
    completion_tokens = sum(answer.tokens for answer in answers)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def chat_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    """As `/v1/chat/completions` shapes them."""
    content = [
        _chat_token(each.token, each.logprob)
        | {"top_logprobs": [_chat_token(token, logprob) for _, token, logprob in each.top]}
        for each in logprobs
    ]
    return {"content": content, "refusal": None}


def _chat_token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": _finite(logprob), "bytes": list(token.encode("utf-8", "replace"))}


def completion_logprobs(logprobs: Sequence[TokenLogprob], *, offset: int) -> dict[str, Any]:
    """As `/v1/completions` shapes them; `offset` is where their text begins, in characters."""
    offsets = []
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    return {
        "tokens": [each.token for each in logprobs],
        "token_logprobs": [_finite(each.logprob) for each in logprobs],
        "top_logprobs": [_top(each) for each in logprobs],
        "text_offset": offsets,
    }


def _top(each: TokenLogprob) -> dict[str, float]:
    # The chosen token is always among them, as OpenAI's are.
    return {token: _finite(logprob) for _, token, logprob in each.top} | {each.token: _finite(each.logprob)}


def _finite(logprob: float) -> float:
    return max(logprob, _LOWEST_LOGPROB)
