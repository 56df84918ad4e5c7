"""The engine over transformers: one thread that owns the model, a bounded queue before it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hfmodel_api.wire import RuntimeInfo
from hfmodel_runtime.engine.batch import RowBatch
from hfmodel_runtime.engine.detokenize import Detokenizer
from hfmodel_runtime.engine.drain import DrainRate
from hfmodel_runtime.engine.line import Line
from hfmodel_runtime.engine.penalties import RowSampler
from hfmodel_runtime.engine.protocol import EngineDead, EngineLimits, Load, QueueFull, SequenceRequest, Sink
from hfmodel_runtime.engine.runner import Runner
from hfmodel_runtime.engine.sequence import Sequence as Row
from hfmodel_runtime.engine.sequence import SequenceParts
from hfmodel_runtime.engine.tokenizer import ModelTokenizer

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5  # without work, until the engine improves itself: a caller may be on the way
_MOST_KEPT_FREE = 0.5  # of the queue, for those who were told to come back


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What of the model's config the engine needs while it runs."""

    vocabulary: int  # token ids below this have an embedding
    eos_ids: frozenset[int]
    # seq2seq: the tokens its decoder begins with; None: decoder-only.
    decoder_start: tuple[int, ...] | None = None


class SequenceTicket:
    """`Ticket` of a sequence: the runner sees the flag at its next step."""

    def __init__(self, row: Row) -> None:
        self._row = row

    def cancel(self) -> None:
        self._row.cancelled = True


class TransformersEngine:
    """`Engine` whose rows decode together, joining and leaving at every step.

    Args:
        token_budget: cached tokens at once, padding included.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        batch: RowBatch,
        tokenizer: ModelTokenizer,
        facts: ModelFacts,
        info: RuntimeInfo,
        limits: EngineLimits,
        token_budget: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokenizer = tokenizer
        self._facts = facts
        self._info = info
        self._limits = limits
        self._clock = clock
        self._runner = Runner(batch, max_running=limits.max_running, token_budget=token_budget, clock=clock)
        self._changed = threading.Condition()
        self._arrived: list[Row] = []
        self._unfinished = 0
        self._drain = DrainRate()
        places = limits.max_running + limits.max_queued
        self._line = Line(places=places, reserve=int(_MOST_KEPT_FREE * limits.max_queued))
        self._closing = False
        self._ended = False
        self._died = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def info(self) -> RuntimeInfo:
        return self._info

    @property
    def tokenizer(self) -> ModelTokenizer:
        return self._tokenizer

    @property
    def limits(self) -> EngineLimits:
        return self._limits

    @property
    def alive(self) -> bool:
        return not self._died

    def submit(self, requests: Sequence[SequenceRequest], sinks: Sequence[Sink]) -> list[SequenceTicket]:
        with self._changed:
            if self._ended or self._closing:
                raise EngineDead("the engine has ended")
            self._let_in(requests)
            # Only now: at ten times the load nine of ten are refused, and that should cost next to nothing.
            rows = [self._row(request, sink) for request, sink in zip(requests, sinks, strict=True)]
            self._unfinished += len(rows)
            self._arrived.extend(rows)
            if self._unfinished > self._limits.max_running:
                self._drain.queued(self._clock())
            self._changed.notify_all()
        return [SequenceTicket(row) for row in rows]

    def load(self) -> Load:
        with self._changed:
            running = min(self._runner.active, self._unfinished)
            return Load(running=running, queued=self._unfinished - running)

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        message = "the engine has died"
        try:
            with torch.inference_mode():
                self._loop()
            message = "the engine was closed"
        except BaseException:
            self._died = True
            logger.critical("engine thread died", exc_info=True)
        finally:
            with self._changed:
                self._ended = True
                arrived, self._arrived = self._arrived, []
            self._runner.fail_all(message)
            for row in arrived:
                row.fail(message)

    def _loop(self) -> None:
        may_improve = True
        while True:
            with self._changed:
                called = self._changed.wait_for(
                    lambda: self._closing or self._arrived or self._runner.busy,
                    timeout=_IDLE_SECONDS if may_improve else None,
                )
                if self._closing:
                    return
                arrived, self._arrived = self._arrived, []
            if not called:
                may_improve = self._runner.improve()
                continue
            for row in arrived:
                self._runner.add(row)
            self._runner.step()

    def _row(self, request: SequenceRequest, sink: Sink) -> Row:
        facts, sampling = self._facts, request.sampling
        seq2seq = facts.decoder_start is not None
        room = self._limits.max_length - (0 if seq2seq else len(request.prompt))
        parts = SequenceParts(
            sampler=RowSampler(
                sampling,
                prompt=request.prompt if facts.decoder_start is None else facts.decoder_start,
                eos_ids=facts.eos_ids,
            ),
            detokenizer=Detokenizer(
                self._tokenizer.decode_all,
                special_ids=self._tokenizer.special_ids,
                byte_ids=self._tokenizer.byte_ids,
                context=() if seq2seq else request.prompt,
            ),
            token_text=self._tokenizer.token_text,
            eos_ids=facts.eos_ids,
            max_new_tokens=min(sampling.max_new_tokens, room),
            on_end=self._on_end,
            refusal=self._refusal(request),
        )
        return Row(request, sink, parts)

    def _refusal(self, request: SequenceRequest) -> str | None:
        """Why the model cannot compute this at all; an unchecked id could take the whole device down."""
        if not request.prompt:
            return "the prompt has no tokens"
        if len(request.prompt) > self._limits.max_length:
            return f"the prompt has {len(request.prompt)} tokens, the model takes {self._limits.max_length}"
        used = [*request.prompt, *(token_id for token_id, _ in request.sampling.logit_bias)]
        unknown = [token_id for token_id in used if not 0 <= token_id < self._facts.vocabulary]
        if unknown:
            return f"token id {unknown[0]} is not in the model's vocabulary of {self._facts.vocabulary}"
        return None

    def _let_in(self, requests: Sequence[SequenceRequest]) -> None:
        """Raises QueueFull if they are to come back later."""
        limits, wanted = self._limits, len(requests)
        if self._line.empty and self._unfinished + wanted <= limits.max_running + limits.max_queued:
            return
        now = self._clock()
        retry_after = self._line.ask(
            hash(tuple((request.prompt, request.sampling) for request in requests)),
            caller=requests[0].request_id,
            wanted=wanted,
            taken=self._unfinished,
            seconds_each=self._drain.seconds_each(now, running=self._runner.active),
            now=now,
        )
        if retry_after is not None:
            raise QueueFull(f"{self._unfinished} sequences run or wait already", retry_after=retry_after)

    def _on_end(self, row: Row) -> None:
        with self._changed:
            self._unfinished -= 1
            if row.admitted_at is not None:
                now = self._clock()
                waiting = bool(self._arrived) or self._runner.waiting
                self._drain.ended(now, seconds_in_batch=now - row.admitted_at, waiting=waiting)
