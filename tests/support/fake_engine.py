"""An engine without a model: a thread that plays out scripted pieces, at a pace the test sets."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hfmodel_api.wire import MemoryUsage, RuntimeInfo
from hfmodel_runtime.engine.protocol import (
    ChatMessage,
    EngineDead,
    EngineLimits,
    FinishReason,
    Load,
    QueueFull,
    SequenceEvent,
    SequenceRequest,
    Sink,
    TokenLogprob,
)

# What a sequence says: a text is one token, an exception is the engine failing on it.
Piece = str | Exception
Script = Callable[[SequenceRequest], Sequence[Piece]]

HELLO: tuple[Piece, ...] = ("Hello", ",", " world")
PATIENCE = 10.0  # seconds a test waits for the fake before it fails


class FakeTokenizer:
    """One token a character."""

    def __init__(self, *, first_token: int | None = 1, chat_stop: tuple[str, ...] = ()) -> None:
        self.chat_format = "template"
        self.chat_stop = chat_stop
        self.conversations: list[list[ChatMessage]] = []
        self._first_token = first_token

    def encode(self, text: str) -> list[int]:
        if not text and self._first_token is not None:
            return [self._first_token]
        return [ord(character) for character in text]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return "".join(map(chr, token_ids))

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        if messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        self.conversations.append(list(messages))
        return self.encode("".join(f"<{each.role}>{each.content}" for each in messages) + "<assistant>")


@dataclass(eq=False)
class _Running:
    request: SequenceRequest
    sink: Sink
    pieces: deque[Piece]
    tokens: int = 0
    cancelled: bool = False


class _Ticket:
    def __init__(self, running: _Running, wake: Callable[[], None]) -> None:
        self._running = running
        self._wake = wake

    def cancel(self) -> None:
        self._running.cancelled = True
        self._wake()


def runtime_info(*, seq2seq: bool = False, max_length: int = 1000) -> RuntimeInfo:
    return RuntimeInfo(
        model_id="fake",
        model="org/fake",
        revision="abc",
        architecture="FakeForCausalLM",
        seq2seq=seq2seq,
        device="cpu",
        dtype="float32",
        engine="fake",
        max_length=max_length,
        chat_format="template",
        memory_usage=MemoryUsage(total_parameters=1, trainable_parameters=1, estimated_size_mb=1.0),
        load_seconds=0.5,
        versions={},
    )


@dataclass(eq=False)
class FakeEngine:
    """Implements `Engine`. A step gives every running sequence one piece; `pause` makes steps wait for `step`."""

    script: Script = lambda _request: HELLO
    limits: EngineLimits = field(default_factory=lambda: EngineLimits(max_length=1000, vocab_size=0x110000))
    seq2seq: bool = False
    tokenizer: FakeTokenizer = field(default_factory=FakeTokenizer)

    def __post_init__(self) -> None:
        self.info = runtime_info(seq2seq=self.seq2seq, max_length=self.limits.max_length)
        self.alive = True
        self.requests: list[SequenceRequest] = []
        self._changed = threading.Condition()
        self._running: list[_Running] = []
        self._permits: int | None = None  # steps still allowed; None: no limit
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="fake-engine", daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[SequenceRequest], sinks: Sequence[Sink]) -> Sequence[_Ticket]:
        with self._changed:
            if not self.alive or self._closing:
                raise EngineDead("the engine has ended")
            if len(self._running) + len(requests) > self.limits.max_running + self.limits.max_queued:
                raise QueueFull("the queue is full", retry_after=7)
            self.requests += requests
            new = [
                _Running(request, sink, deque(self.script(request)))
                for request, sink in zip(requests, sinks, strict=True)
            ]
            self._running += new
            self._changed.notify_all()
        return [_Ticket(each, self._wake) for each in new]

    def load(self) -> Load:
        with self._changed:
            running = min(len(self._running), self.limits.max_running)
            return Load(running=running, queued=len(self._running) - running)

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)

    def pause(self) -> None:
        """From now on nothing is computed but by `step`."""
        with self._changed:
            self._permits = 0

    def step(self, count: int = 1) -> None:
        """Allow `count` more steps."""
        with self._changed:
            self._permits = (self._permits or 0) + count
            self._changed.notify_all()

    def resume(self) -> None:
        """No pauses any more."""
        with self._changed:
            self._permits = None
            self._changed.notify_all()

    def die(self) -> None:
        """As if the engine's thread had broken."""
        with self._changed:
            self.alive = False
            self._changed.notify_all()

    def wait_for_sequences(self, count: int) -> None:
        """Blocks until exactly `count` sequences are in the engine (run it in a thread)."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._running) == count, PATIENCE):
                raise TimeoutError(f"{len(self._running)} sequences in the engine, not {count}")

    def wait_for_request(self) -> None:
        """Blocks until something was submitted (run it in a thread)."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.requests, PATIENCE):
                raise TimeoutError("nothing was submitted")

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closing or not self.alive:
                    ended, self._running = self._running, []
                    for each in ended:
                        each.sink(SequenceEvent(finish_reason=FinishReason.ERROR, error="the engine has ended"))
                    return
                self._drop_cancelled()
                if self._permits is not None:
                    if not self._permits:
                        continue
                    self._permits -= 1
                self._running = [
                    each
                    for row, each in enumerate(self._running)
                    if row >= self.limits.max_running or not self._advance(each)
                ]
                self._changed.notify_all()

    def _has_work(self) -> bool:
        if self._closing or not self.alive or any(each.cancelled for each in self._running):
            return True
        return bool(self._running) and self._permits != 0

    def _drop_cancelled(self) -> None:
        for each in [each for each in self._running if each.cancelled]:
            self._running.remove(each)
            each.sink(SequenceEvent(finish_reason=FinishReason.CANCELLED))
        self._changed.notify_all()

    def _advance(self, sequence: _Running) -> bool:
        """Plays one piece; true at the end."""
        event = self._next_event(sequence)
        sequence.sink(event)
        return event.finish_reason is not None

    def _next_event(self, sequence: _Running) -> SequenceEvent:
        if not sequence.pieces:
            return SequenceEvent(token_ids=(0,), finish_reason=FinishReason.STOP)
        piece = sequence.pieces.popleft()
        if isinstance(piece, Exception):
            return SequenceEvent(finish_reason=FinishReason.ERROR, error=str(piece))
        sequence.tokens += 1
        full = sequence.tokens >= sequence.request.sampling.max_new_tokens
        return SequenceEvent(
            text=piece,
            token_ids=(sequence.tokens,),
            logprobs=self._logprobs(sequence, piece),
            finish_reason=FinishReason.LENGTH if full else None,
        )

    def _logprobs(self, sequence: _Running, piece: str) -> tuple[TokenLogprob, ...]:
        count = sequence.request.sampling.logprobs
        if count is None:
            return ()
        top = ((sequence.tokens, piece, -0.25), (999, "other", float("-inf")))[:count]
        return (TokenLogprob(token_id=sequence.tokens, token=piece, logprob=-0.25, top=top),)
