"""One request's sequences on the engine: submitted together, read as events on the event loop, ended together."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from starlette.requests import Request

from hfmodel_api.errors import EngineFailed, InvalidRequest, NotReady, Overloaded
from hfmodel_runtime.engine.protocol import (
    Engine,
    EngineDead,
    FinishReason,
    QueueFull,
    Sampling,
    SequenceEvent,
    SequenceRequest,
    Ticket,
    TokenLogprob,
)
from hfmodel_runtime.lifecycle import Admission, Event, State
from hfmodel_runtime.server.exchange import Exchange, exchange_of
from hfmodel_runtime.server.model import Admitted, ServedModel

_SEEDS = 2**63  # seeds wrap around within OpenAI's range, a signed 64-bit integer

# News of one sequence: its index among the request's, and the event.
News = tuple[int, SequenceEvent]


@dataclass(slots=True)
class Answer:
    """One sequence so far."""

    pieces: list[str] = field(default_factory=list)
    tokens: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    last_token_at: float | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, event: SequenceEvent) -> None:
        self.pieces.append(event.text)
        self.tokens += len(event.token_ids)
        self.logprobs += event.logprobs
        self.finish_reason = event.finish_reason


class Generation:
    """The sequences of one request while they run. `answers` grows as the engine's events arrive."""

    def __init__(self, model: ServedModel, admission: Admission, exchange: Exchange, *, sequences: int) -> None:
        self.answers = [Answer() for _ in range(sequences)]
        self._model = model
        self._admission = admission
        self._exchange = exchange
        self._unread = sequences  # sequences whose end was not read yet
        self._running = sequences  # sequences whose end has not come yet
        self._arrived: asyncio.Queue[News] = asyncio.Queue()
        self._started = time.perf_counter()
        self._tickets: Sequence[Ticket] = ()

    def submit(self, engine: Engine, sequences: Sequence[SequenceRequest]) -> None:
        """Raises QueueFull and EngineDead as the engine does."""
        sinks = [partial(self._post, index) for index in range(len(sequences))]
        self._tickets = engine.submit(sequences, sinks)

    def cancel(self) -> None:
        """Stop computing whatever still runs."""
        for ticket, answer in zip(self._tickets, self.answers, strict=True):
            if answer.finish_reason is None:
                ticket.cancel()
                self._exchange.finish_reasons.append(FinishReason.CANCELLED.value)

    async def news(self, *, patience: float | None = None) -> AsyncIterator[News | None]:
        """Events of all sequences in the order they came, until each has ended; None after `patience` seconds of none.

        Raises:
            EngineFailed: a sequence could not be finished.
        """
        while self._unread:
            try:
                async with asyncio.timeout(patience):
                    index, event = await self._arrived.get()
            except TimeoutError:
                yield None
                continue
            if event.finish_reason in (FinishReason.ERROR, FinishReason.CANCELLED):
                raise EngineFailed(f"the answer could not be finished: {event.error or event.finish_reason.value}")
            if event.finish_reason is not None:
                self._unread -= 1
            yield index, event

    async def finished(self) -> list[Answer]:
        """Every answer, once all are whole.

        Raises:
            EngineFailed: a sequence could not be finished.
        """
        async for _ in self.news():
            pass
        return self.answers

    def _post(self, index: int, event: SequenceEvent) -> None:
        # On the engine's thread.
        self._model.mailbox.post(partial(self._arrive, index, event))

    def _arrive(self, index: int, event: SequenceEvent) -> None:
        answer = self.answers[index]
        answer.add(event)
        if event.token_ids:
            self._admission.computing()
            self._count_tokens(answer, len(event.token_ids))
        if event.finish_reason is not None:
            self._count_end(event.finish_reason)
        self._arrived.put_nowait((index, event))

    def _count_tokens(self, answer: Answer, count: int) -> None:
        metrics, now = self._model.metrics, time.perf_counter()
        if answer.last_token_at is None:
            metrics.first_token.observe(now - self._started)
            if self._exchange.first_token_seconds is None:
                self._exchange.first_token_seconds = now - self._started
        else:
            for _ in range(count):
                metrics.inter_token.observe((now - answer.last_token_at) / count)
        answer.last_token_at = now
        metrics.generation_tokens.inc(count)
        self._exchange.answer_tokens += count

    def _count_end(self, reason: FinishReason) -> None:
        self._running -= 1
        self._model.metrics.sequences.labels(reason.value).inc()
        self._exchange.finish_reasons.append(reason.value)
        if not self._running:
            self._model.metrics.request_seconds.observe(time.perf_counter() - self._started)


def start(
    model: ServedModel,
    admitted: Admitted,
    request: Request,
    *,
    prompts: Sequence[Sequence[int]],
    sampling: Sequence[Sampling],
    n: int,
) -> Generation:
    """Submit `n` sequences for each prompt with its sampling; they are cancelled when the exchange ends.

    With a seed, answer i of a prompt is drawn with seed + i: each repeatable, all different.

    Raises:
        InvalidRequest: more sequences than this server would ever take at once, or a token the model does not have.
        Overloaded: the queue has no place for them now.
        NotReady: the engine has died.
    """
    exchange = exchange_of(request)
    sequences = [
        SequenceRequest(prompt=tuple(prompt), sampling=_with_seed_of(choice, chosen), request_id=exchange.request_id)
        for prompt, chosen in zip(prompts, sampling, strict=True)
        for choice in range(n)
    ]
    _check_possible(sequences, admitted)
    generation = Generation(model, admitted.admission, exchange, sequences=len(sequences))
    _submit(generation, model, admitted.engine, sequences)
    exchange.undo.callback(generation.cancel)
    exchange.sequences = len(sequences)
    exchange.prompt_tokens = sum(map(len, prompts))
    model.metrics.prompt_tokens.inc(exchange.prompt_tokens)
    return generation


def _with_seed_of(choice: int, sampling: Sampling) -> Sampling:
    if sampling.seed is None or choice == 0:
        return sampling
    return replace(sampling, seed=(sampling.seed + choice + _SEEDS) % (2 * _SEEDS) - _SEEDS)


def _check_possible(sequences: Sequence[SequenceRequest], admitted: Admitted) -> None:
    limits = admitted.engine.limits
    if len(sequences) > limits.max_queued:
        raise InvalidRequest(
            f"{len(sequences)} answers were asked for at once; this server queues at most {limits.max_queued}",
            param="n",
        )
    if limits.vocab_size is None:
        return
    for sequence in sequences:
        for token in (max(sequence.prompt), *(token for token, _ in sequence.sampling.logit_bias)):
            if token >= limits.vocab_size:
                raise InvalidRequest(f"token {token} does not exist: this model has {limits.vocab_size} tokens")


def _submit(generation: Generation, model: ServedModel, engine: Engine, sequences: Sequence[SequenceRequest]) -> None:
    try:
        generation.submit(engine, sequences)
    except QueueFull as full:
        model.metrics.refused.labels("queue-full").inc()
        raise Overloaded(str(full), retry_after=full.retry_after) from full
    except EngineDead as dead:
        model.lifecycle.apply(Event.DIE)
        raise NotReady(
            "the engine of this replica has failed; nothing was started", reason=State.DEAD.value, retry_after=1
        ) from dead
