"""The engine's steps, single-threaded: who waits, who starts, who runs; one call of `step` is one turn of the loop.

- One prefill at a time, one piece a turn, in one pass with the running rows where the model allows that, so that these
  keep flowing. Prompts of about one length that wait together are prefilled together: all who were held for a sleeping
  model arrive at once. The first always goes first.
- The batch takes rows while their cache fits the token budget. Rows are admitted by what they need now, not by the most
  they may ask for; when growing rows meet the budget the youngest goes back to the head of the queue and is computed
  anew later.
- A failed batch step voids the batch: its rows go back to the queue and are computed anew, one by one, so a row that
  cannot be computed ends alone. Computing anew yields a token, so there is progress; a row that was there too often is
  ended.
"""

import itertools
import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import torch

from hfmodel_runtime.engine.batch import Prefill, RowBatch, RowTokens
from hfmodel_runtime.engine.protocol import FinishReason
from hfmodel_runtime.engine.sampler import Choice, sample
from hfmodel_runtime.engine.sequence import Sequence

logger = logging.getLogger(__name__)

_MAX_FAILURES = 3
_HEADROOM = 32  # tokens a new row should be able to grow before it is in the way
_SHRINK = 0.8  # of what was too much for the device's memory

# The device is beyond repair after one of these (a CUDA assert poisons the context): the process must be replaced.
_FATAL = (torch.AcceleratorError,)

_Result = TypeVar("_Result")


class Runner:
    """Owns the batch. All calls come from the engine's thread.

    Args:
        max_running: rows at once.
        token_budget: cached tokens at once, padding included.
        clock: seconds, monotonic.
    """

    def __init__(self, batch: RowBatch, *, max_running: int, token_budget: int, clock: Callable[[], float]) -> None:
        self._batch = batch
        self._max_running = max_running
        self._budget = token_budget
        self._clock = clock
        self._waiting: deque[Sequence] = deque()
        self._starting: list[Sequence] = []  # one for each row of the prefill
        self._prefill: Prefill | None = None
        self._running: list[Sequence] = []  # one for each row of the batch

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running or self._starting)

    @property
    def waiting(self) -> bool:
        """Whether a sequence waits for a place."""
        return bool(self._waiting)

    @property
    def active(self) -> int:
        """Sequences that have a place: running or being prefilled. May be asked from any thread."""
        # In this order: a sequence that starts to run meanwhile is in the second if it is no longer in the first.
        return len({id(sequence) for sequence in (*self._starting, *self._running)})

    def improve(self) -> bool:
        """As `RowBatch.improve`; call it while the runner is not busy."""
        return self._batch.improve()

    def add(self, sequence: Sequence) -> None:
        if sequence.refusal is not None:
            sequence.fail(sequence.refusal)
        elif sequence.full:
            sequence.end(FinishReason.LENGTH)
        else:
            self._waiting.append(sequence)

    def step(self) -> None:
        """One turn: free what was cancelled, make room, advance one prefill and compute a token for every row."""
        self._drop_cancelled()
        self._make_room()
        self._admit()
        if not self._advance_both():
            self._advance_prefill()
            self._decode()

    def fail_all(self, message: str) -> None:
        """End every sequence; nothing is computed any more."""
        everyone = [*self._running, *self._starting, *self._waiting]
        self._running, self._starting, self._prefill = [], [], None
        self._waiting.clear()
        for sequence in everyone:
            sequence.fail(message)

    def _drop_cancelled(self) -> None:
        if any(sequence.cancelled for sequence in self._waiting):
            gone = [sequence for sequence in self._waiting if sequence.cancelled]
            self._waiting = deque(sequence for sequence in self._waiting if not sequence.cancelled)
            _end_cancelled(gone)
        _end_cancelled([sequence for sequence in self._starting if sequence.cancelled])
        if all(sequence.finished for sequence in self._starting):
            self._starting, self._prefill = [], None
        _end_cancelled([sequence for sequence in self._running if sequence.cancelled])
        self._drop_finished()

    def _drop_finished(self) -> None:
        stay = [row for row, sequence in enumerate(self._running) if not sequence.finished]
        if len(stay) < len(self._running):
            self._keep(stay)

    def _make_room(self) -> None:
        while len(self._running) > 1 and len(self._running) * (self._batch.columns + 1) > self._budget:
            youngest = self._running[-1]
            self._keep(list(range(len(self._running) - 1)))
            self._waiting.appendleft(youngest)
            logger.info("preempted request_id=%s tokens=%d", youngest.request.request_id, len(youngest.answer))

    def _keep(self, rows: list[int]) -> None:
        self._running = [self._running[row] for row in rows]
        self._guarded(lambda: self._batch.keep(rows))

    def _admit(self) -> None:
        chosen = [] if self._starting else self._admissible()
        if not chosen:
            return
        taken = {id(sequence) for sequence in chosen}
        self._waiting = deque(sequence for sequence in self._waiting if id(sequence) not in taken)
        self._starting = chosen
        for sequence in chosen:
            if sequence.admitted_at is None:
                sequence.admitted_at = self._clock()
        self._prefill = self._batch.prefill([_tokens(sequence) for sequence in chosen])

    def _admissible(self) -> list[Sequence]:
        """Who may start now, together: the first that waits, with those that are nearest to it in length."""
        places = self._max_running - len(self._running)
        waiting = list(itertools.islice(self._waiting, max(0, places)))
        if not waiting or (self._running and not self._fits(waiting[:1])):
            return []
        # What failed before starts alone, so that it fails alone.
        sound = list(itertools.takewhile(lambda row: row.failures == 0, waiting)) or waiting[:1]
        length = self._columns(sound[0])
        sound.sort(key=lambda row: abs(self._columns(row) - length))
        count = self._batch.worth_together([_tokens(row) for row in sound])
        while count > 1 and not self._fits(sound[:count]):
            count -= 1
        return sound[:count]

    def _columns(self, sequence: Sequence) -> int:
        return self._batch.columns_of(len(sequence.request.prompt), len(sequence.answer))

    def _fits(self, sequences: list[Sequence]) -> bool:
        widest = max(self._batch.columns, *map(self._columns, sequences)) + _HEADROOM
        return (len(self._running) + len(sequences)) * widest <= self._budget

    def _advance_both(self) -> bool:
        """What `_advance_prefill` and `_decode` do, in one pass. Whether it was done."""
        prefill = self._prefill
        # What failed before is computed alone, so that it fails alone.
        if prefill is None or not self._running or any(sequence.failures for sequence in self._starting):
            return False
        try:
            both = self._batch.step_beside([sequence.answer[-1] for sequence in self._running], prefill)
        except _FATAL:
            raise
        except Exception:
            logger.exception("pass failed rows=%d starting=%d; each alone", len(self._running), len(self._starting))
            self._queue_starting()
            return False
        if both is None:
            return False
        logits, begun = both
        _take(logits, self._running)
        self._drop_finished()
        if begun is not None:
            self._begin(self._starting, prefill, begun)
        return True

    def _advance_prefill(self) -> None:
        if self._prefill is None:
            return
        try:
            logits = self._prefill.advance()
        except _FATAL:
            raise
        except Exception as error:
            logger.exception("prefill failed rows=%d", len(self._starting))
            self._prefill_failed(error)
            return
        if logits is not None:
            self._begin(self._starting, self._prefill, logits)

    def _begin(self, sequences: list[Sequence], prefill: Prefill, logits: torch.Tensor) -> None:
        """Hand out the first tokens; who wants more joins the batch."""
        rows = [row for row, sequence in enumerate(sequences) if not sequence.finished]
        fresh = [sequences[row] for row in rows]
        before = self._running
        self._running = before + fresh
        self._starting, self._prefill = [], None
        _take(logits[rows], fresh)
        joining = [row for row in rows if not sequences[row].finished]
        self._running = before + [sequences[row] for row in joining]
        if joining:
            self._guarded(lambda: self._batch.join(prefill, joining))

    def _prefill_failed(self, error: Exception) -> None:
        """A row that fails alone has failed; of several, each gets its try alone."""
        if len(self._starting) > 1:
            self._queue_starting()
            return
        (sequence,), self._starting, self._prefill = self._starting, [], None
        sequence.fail(_sentence(error))

    def _queue_starting(self) -> None:
        """Each starts anew, and alone."""
        sequences, self._starting, self._prefill = self._starting, [], None
        for sequence in reversed(sequences):
            sequence.failures += 1
            if not sequence.finished:
                self._waiting.appendleft(sequence)

    def _decode(self) -> None:
        if not self._running:
            return
        logits = self._guarded(lambda: self._batch.step([sequence.answer[-1] for sequence in self._running]))
        if logits is not None:
            _take(logits, self._running)
            self._drop_finished()

    def _guarded(self, change: Callable[[], _Result]) -> _Result | None:
        """What `change` of the batch returns; if it fails its rows start anew, and None."""
        try:
            return change()
        except _FATAL:
            raise
        except Exception as error:
            logger.exception("batch failed rows=%d; its rows are computed anew", len(self._running))
            self._start_anew(error)
            return None

    def _start_anew(self, error: Exception) -> None:
        """Queue the rows of a void batch again, in their order, but for those that were there too often."""
        if isinstance(error, torch.OutOfMemoryError):
            self._budget = max(1, int(_SHRINK * len(self._running) * self._batch.columns))
            logger.warning("out of device memory: token_budget=%d from now on", self._budget)
        rows, self._running = self._running, []
        self._batch.clear()
        for sequence in reversed(rows):
            sequence.failures += 1
            if sequence.failures >= _MAX_FAILURES:
                sequence.fail(_sentence(error))
            elif not sequence.finished:
                self._waiting.appendleft(sequence)


def _tokens(sequence: Sequence) -> RowTokens:
    return RowTokens(sequence.request.prompt, tuple(sequence.answer))


def _end_cancelled(sequences: list[Sequence]) -> None:
    for sequence in sequences:
        sequence.end(FinishReason.CANCELLED)


def _take(logits: torch.Tensor, sequences: list[Sequence]) -> None:
    """Choose and hand out the next token of every row; a row that fails ends alone."""
    for sequence, choice in zip(sequences, _choose(logits, sequences), strict=True):
        if choice is None:
            sequence.fail("the model's output is not a number; try another dtype")
            continue
        try:
            sequence.accept(choice)
        except Exception as error:
            logger.exception("token failed request_id=%s", sequence.request.request_id)
            sequence.fail(_sentence(error))


def _choose(logits: torch.Tensor, sequences: list[Sequence]) -> list[Choice | None]:
    try:
        return sample(logits, [sequence.sampler for sequence in sequences])
    except _FATAL:
        raise
    except Exception as error:
        logger.exception("sampling failed rows=%d", len(sequences))
        if len(sequences) == 1:
            sequences[0].fail(_sentence(error))
            return [None]
    return [_choose(logits[row : row + 1], [sequence])[0] for row, sequence in enumerate(sequences)]


def _sentence(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"the engine failed on this request: {type(error).__name__}: {text}"
