"""From a caller's fields to what the engine is told: room for the answer, and how its tokens are chosen."""

from dataclasses import dataclass, replace
from typing import Final

from hfmodel_api.errors import InvalidRequest
from hfmodel_api.requests import ChatCompletionRequest, ChatRequest, CompletionRequest, GenerateRequest
from hfmodel_runtime.engine.protocol import Engine, Sampling

NATIVE_MAX_LENGTH: Final = 100
NATIVE_TOP_P: Final = 0.9
NATIVE_TOP_K: Final = 50
COMPLETION_TOKENS: Final = 16


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens fit, given the model and one prompt."""

    limit: int  # the model's
    prompt: int  # tokens of the longest prompt
    seq2seq: bool

    @classmethod
    def beside(cls, prompt: int, *, engine: Engine, param: str) -> "Room":
        """Room beside `prompt` tokens; `param` is the caller's name for the prompt.

        Raises:
            InvalidRequest: there is none.
        """
        room = cls(engine.limits.max_length, prompt, engine.info.seq2seq)
        if prompt == 0:
            raise InvalidRequest("the prompt is empty, and this model has no token that starts a text", param=param)
        if room.seq2seq and prompt > room.limit:
            raise InvalidRequest(f"the prompt has {prompt} tokens; this model takes at most {room.limit}", param=param)
        if not room.seq2seq and prompt >= room.limit:
            raise InvalidRequest(
                f"the prompt has {prompt} tokens; this model takes at most {room.limit}, the answer's included",
                param=param,
            )
        return room

    @property
    def answer(self) -> int:
        """Tokens an answer may have."""
        return self.limit if self.seq2seq else self.limit - self.prompt

    def total(self, answer: int) -> int:
        """What `max_length` means for this model, for an answer of `answer` tokens."""
        return answer if self.seq2seq else self.prompt + answer

    def within(self, max_length: int) -> int:
        """Tokens of an answer under the caller's `max_length`, which is capped by the model's.

        Raises:
            InvalidRequest: the prompt alone uses it up.
        """
        if self.seq2seq:
            return min(max_length, self.limit)
        if max_length <= self.prompt:
            raise InvalidRequest(
                f"max_length {max_length} counts the prompt, which alone has {self.prompt} tokens", param="max_length"
            )
        return min(max_length, self.limit) - self.prompt


def generate_tokens(call: GenerateRequest, room: Room) -> int:
    """Tokens of a /generate answer. By default 100 with the prompt; beside a longer prompt, up to 100 more."""
    if call.answer_tokens is not None:
        return min(call.answer_tokens, room.answer)
    if call.max_length is not None:
        return room.within(call.max_length)
    if room.seq2seq or room.prompt >= NATIVE_MAX_LENGTH:
        return min(NATIVE_MAX_LENGTH, room.answer)
    return room.within(NATIVE_MAX_LENGTH)


def chat_tokens(call: ChatRequest, room: Room) -> int:
    """Tokens of a /chat answer. By default all that the model has room for."""
    if call.answer_tokens is not None:
        return min(call.answer_tokens, room.answer)
    return room.answer if call.max_length is None else room.within(call.max_length)


def openai_tokens(call: CompletionRequest | ChatCompletionRequest, room: Room) -> int:
    """Tokens of a /v1 answer: 16 by default for completions, for chat all that the model has room for.

    Raises:
        InvalidRequest: more were asked for than fit.
    """
    if call.answer_tokens is None:
        return min(COMPLETION_TOKENS, room.answer) if isinstance(call, CompletionRequest) else room.answer
    if call.answer_tokens > room.answer:
        of = "of an answer" if room.seq2seq else f"in all, {room.prompt} of them are the prompt's"
        raise InvalidRequest(
            f"{call.answer_tokens} tokens were asked for; this model has room for {room.limit} {of}", param="max_tokens"
        )
    return call.answer_tokens


def native_sampling(
    call: GenerateRequest | ChatRequest, *, tokens: int, temperature: float, stop: tuple[str, ...] = ()
) -> Sampling:
    """Sampling of the old server's calls; `temperature` is the model's suggestion."""
    chosen = temperature if call.temperature is None else call.temperature
    return replace(
        _shared(call, tokens=tokens, stop=stop),
        temperature=chosen if call.do_sample else 0.0,
        top_p=NATIVE_TOP_P if call.top_p is None else call.top_p,
        top_k=max(0, NATIVE_TOP_K if call.top_k is None else call.top_k),
    )


def openai_sampling(
    call: CompletionRequest | ChatCompletionRequest, *, tokens: int, temperature: float, stop: tuple[str, ...] = ()
) -> Sampling:
    """Sampling of OpenAI's calls; `temperature` is the model's suggestion, the rest defaults to OpenAI's."""
    return replace(
        _shared(call, tokens=tokens, stop=stop),
        temperature=temperature if call.temperature is None else call.temperature,
        top_p=1.0 if call.top_p is None else call.top_p,
        top_k=max(0, call.top_k or 0),
        logit_bias=tuple((int(token), bias) for token, bias in (call.logit_bias or {}).items()),
        logprobs=_logprobs(call),
    )


def _shared(
    call: GenerateRequest | ChatRequest | CompletionRequest | ChatCompletionRequest,
    *,
    tokens: int,
    stop: tuple[str, ...],
) -> Sampling:
    if call.min_tokens > tokens:
        raise InvalidRequest(
            f"min_tokens {call.min_tokens} is more than the {tokens} an answer may have", param="min_tokens"
        )
    return Sampling(
        max_new_tokens=tokens,
        min_new_tokens=call.min_tokens,
        min_p=call.min_p,
        repetition_penalty=call.repetition_penalty,
        presence_penalty=call.presence_penalty,
        frequency_penalty=call.frequency_penalty,
        seed=call.seed,
        stop=(*call.stop_strings, *stop),
        ignore_eos=call.ignore_eos,
    )


def _logprobs(call: CompletionRequest | ChatCompletionRequest) -> int | None:
    if isinstance(call, CompletionRequest):
        return call.logprobs
    return (call.top_logprobs or 0) if call.logprobs else None
