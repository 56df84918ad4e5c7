"""What an engine is: the one interface between the HTTP surface and whatever computes tokens.

An engine owns one loaded model and one thread. The surface submits sequences and gets events; it never touches tensors.
CTranslate2 and vLLM can stand behind the same protocol.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hfmodel_api.wire import RuntimeInfo, Stage


class FinishReason(StrEnum):
    """Why a sequence ended; the first two are OpenAI's words."""

    STOP = "stop"  # the model's end token, or a stop string
    LENGTH = "length"  # max_new_tokens or the model's own limit
    CANCELLED = "cancelled"  # the client went away
    ERROR = "error"  # the engine failed on this sequence; `SequenceEvent.error` says how


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen, per sequence. Defaults change nothing.

    The order of the filters is transformers': penalties and bias, temperature, top_k, top_p, min_p.
    """

    max_new_tokens: int  # >= 1
    min_new_tokens: int = 0  # no end token before this many
    temperature: float = 1.0  # 0 is greedy
    top_k: int = 0  # 0 is off
    top_p: float = 1.0  # (0, 1]
    min_p: float = 0.0  # [0, 1)
    repetition_penalty: float = 1.0  # > 0, over prompt and answer, as transformers does
    presence_penalty: float = 0.0  # [-2, 2], over the answer, as OpenAI defines it
    frequency_penalty: float = 0.0  # [-2, 2], over the answer, as OpenAI defines it
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, added to its logit)
    seed: int | None = None  # None: unpredictable
    stop: tuple[str, ...] = ()  # never part of the text
    ignore_eos: bool = False
    logprobs: int | None = None  # None: none; k >= 0: of the chosen token and of the k likeliest

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRequest:
    """One sequence to generate. `n` answers to a prompt are n requests that share `prompt`."""

    prompt: tuple[int, ...]  # token ids, at least one; for seq2seq the encoder's input
    sampling: Sampling
    request_id: str = ""  # for the log


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A token and its log probability under the model (before temperature and filters), base e."""

    token_id: int
    token: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()  # (token id, text, logprob), likeliest first


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceEvent:
    """News of a sequence: some more text, its end, or both. The last event has `finish_reason`.

    Text is held back while it may be the start of a stop string or of a half-decoded character, so `text` may be empty
    and may cover several tokens; joined over all events it is the whole answer.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()  # tokens computed since the last event, end token included
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    error: str | None = None


# Called on the engine's thread, must not block and must not raise.
Sink = Callable[[SequenceEvent], None]


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is, in sequences."""

    running: int = 0
    queued: int = 0


class QueueFull(Exception):
    """The engine's bounded queue has no place for these sequences; nothing was queued."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class EngineDead(Exception):
    """The engine's thread has ended; the process must be replaced."""


class Ticket(Protocol):
    """A submitted sequence."""

    def cancel(self) -> None:
        """Stop computing it, soon. Idempotent, from any thread; the sink still gets its last event."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


class Tokenizer(Protocol):
    """What the HTTP surface needs of a tokenizer; safe to call from any thread."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain prompt, with the special tokens that the model expects at its start and end."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str: ...

    @property
    def chat_format(self) -> str:
        """`template`, `dialogpt`, `human-assistant` or `plain`; see docs/chat.md."""

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Token ids of a conversation, ready for the assistant's next turn.

        Raises:
            ValueError: the model's template refuses these messages; its text says why.
        """

    @property
    def chat_stop(self) -> tuple[str, ...]:
        """Stop strings that the fallback format needs (none for a model's own template)."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of an engine, fixed at start."""

    max_length: int  # tokens: prompt and answer together; seq2seq: of each
    max_running: int = 64  # sequences in the batch
    max_queued: int = 256  # sequences waiting for a place
    vocab_size: int | None = None  # token ids are below it; None: unknown, callers' ids are not checked


class Engine(Protocol):
    """One loaded model."""

    @property
    def info(self) -> RuntimeInfo: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def limits(self) -> EngineLimits: ...

    def submit(self, requests: Sequence[SequenceRequest], sinks: Sequence[Sink]) -> Sequence[Ticket]:
        """Queue all of `requests` or none; returns at once. From any thread.

        Raises:
            QueueFull: no place for all of them.
            EngineDead: the engine's thread has ended.
        """

    def load(self) -> Load: ...

    @property
    def alive(self) -> bool:
        """False once the engine's thread has ended other than by `close`."""

    def close(self) -> None:
        """End the thread; sequences that still run end with `FinishReason.ERROR`. Blocks until it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How to load a model directory. Values are the spec's words, `auto` included."""

    path: str
    model_id: str
    model: str = ""  # Hugging Face repo id, for /info
    revision: str | None = None
    type: str = "text"  # spec.type: how /chat forms a prompt where the model has no template
    device: str = "auto"
    dtype: str = "auto"
    engine: str = "auto"
    max_length: int | None = None  # a limit below the model's own
    max_running: int = 64
    max_queued: int = 256
    threads: int | None = None  # None: what the cgroup allows
    trust_remote_code: bool = False
    allow_pickle: bool = False
    reached: Callable[[Stage], None] = lambda _: (
        None
    )  # called when loading has passed a stage, in the thread that loads
