"""One submitted sequence: what it has generated, what of it is text, and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from hfmodel_runtime.engine.detokenize import Detokenizer
from hfmodel_runtime.engine.penalties import RowSampler
from hfmodel_runtime.engine.protocol import FinishReason, SequenceEvent, SequenceRequest, Sink, TokenLogprob
from hfmodel_runtime.engine.sampler import Choice
from hfmodel_runtime.engine.stop import Matched, StopMatcher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceParts:
    """What a sequence is made with beside its request and sink."""

    sampler: RowSampler
    detokenizer: Detokenizer
    token_text: Callable[[int], str]  # one token as it is shown beside its log probability
    eos_ids: frozenset[int]
    max_new_tokens: int  # what the request asks for, or less where the model's context leaves less
    on_end: Callable[[Sequence], None]  # called once, before the last event is told
    refusal: str | None = None  # why it cannot be computed at all


class Sequence:
    """Lives on the engine's thread, but for `cancelled`, which any thread may set."""

    def __init__(self, request: SequenceRequest, sink: Sink, parts: SequenceParts) -> None:
        self.request = request
        self.answer: list[int] = []
        self.sampler = parts.sampler
        self.refusal = parts.refusal
        self.cancelled = False
        self.finished = False
        self.failures = 0  # steps that failed with this row in the batch
        self.admitted_at: float | None = None  # the engine's clock
        self._parts = parts
        self._sink = sink
        self._stop = StopMatcher(request.sampling.stop)

    @property
    def full(self) -> bool:
        """No room, in the context or in what was asked for, for another token."""
        return len(self.answer) >= self._parts.max_new_tokens

    def accept(self, choice: Choice) -> None:
        """Take the next token and tell the sink."""
        token_id = choice.token_id
        self.answer.append(token_id)
        self.sampler.record(token_id)
        ended = token_id in self._parts.eos_ids and not self.request.sampling.ignore_eos
        # Not every end token is special to the tokenizer; none is part of the text.
        matched = self._stop.push("" if ended else self._parts.detokenizer.push(token_id))
        text, reason = matched.text, FinishReason.STOP if matched.stopped else None
        if reason is None and (ended or self.full):
            rest = self._rest()
            text += rest.text
            reason = FinishReason.STOP if ended or rest.stopped else FinishReason.LENGTH
        self._emit(
            SequenceEvent(text=text, token_ids=(token_id,), logprobs=self._logprobs(choice), finish_reason=reason)
        )

    def end(self, reason: FinishReason, *, error: str | None = None) -> None:
        """End it for a reason that is not its own; text that was held back is given out."""
        self._emit(SequenceEvent(text=self._rest().text, finish_reason=reason, error=error))

    def fail(self, message: str) -> None:
        """End it with an error; what it holds back is not worth a second one."""
        self._emit(SequenceEvent(finish_reason=FinishReason.ERROR, error=message))

    def _rest(self) -> Matched:
        last = self._stop.push(self._parts.detokenizer.flush())
        return last if last.stopped else Matched(last.text + self._stop.flush())

    def _logprobs(self, choice: Choice) -> tuple[TokenLogprob, ...]:
        if choice.logprob is None:
            return ()
        text = self._parts.token_text
        top = tuple((token_id, text(token_id), logprob) for token_id, logprob in choice.top)
        token_id = choice.token_id
        return (TokenLogprob(token_id=token_id, token=text(token_id), logprob=choice.logprob, top=top),)

    def _emit(self, event: SequenceEvent) -> None:
        if self.finished:
            return
        if event.finish_reason is not None:
            self._finish()
        try:
            self._sink(event)
        except Exception:
            # A sink that breaks its promise costs its own sequence, not the engine.
            logger.exception("sink failed request_id=%s", self.request.request_id)
            self._finish()

    def _finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._parts.on_end(self)
