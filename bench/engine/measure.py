"""The batch engine's questions, each asked of both servers in turn, some times over."""

import asyncio
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.engine import prompts as warm_up
from bench.engine.load import Leg, drive
from bench.engine.questions import Question
from bench.engine.servers import PEERS, Contender, Running, running


@dataclass(frozen=True, slots=True)
class Pair:
    """Two legs, one right after the other."""

    ours: Leg
    theirs: Leg


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what was measured for it."""

    question: Question
    pairs: tuple[Pair, ...]

    @property
    def ratios(self) -> list[float]:
        return [self.question.ratio(pair.ours, pair.theirs) for pair in self.pairs]

    @property
    def ratio(self) -> float:
        """The median; a noisy machine gives each pair its own."""
        return statistics.median(self.ratios)

    @property
    def cpu_ratio(self) -> float:
        """How many times less CPU time a token costs; the median."""
        return statistics.median(pair.theirs.cpu_ms_per_token / pair.ours.cpu_ms_per_token for pair in self.pairs)


def measure(
    questions: Sequence[Question], *, model_dir: Path, threads: int, repeats: int, report: Callable[[Answer], None]
) -> list[Answer]:
    """Every question's answer; `report` is called with each as soon as it is there."""
    answers = []
    with tempfile.TemporaryDirectory() as logs:
        for _, asked in itertools.groupby(questions, key=_peer):
            group = list(asked)
            contenders = list(dict.fromkeys(server for question in group for server in (question.by, question.against)))
            with running(contenders, model_dir=model_dir, threads=threads, logs=Path(logs)) as servers:
                for answer in _answers(group, servers, repeats=repeats):
                    answers.append(answer)
                    report(answer)
    return answers


def _peer(question: Question) -> Contender | None:
    """Who must not run beside another peer: each takes a share of all the memory there is."""
    return question.against if question.against in PEERS else None


def _answers(questions: Sequence[Question], servers: Sequence[Running], *, repeats: int) -> Iterator[Answer]:
    by_contender = {server.contender: server for server in servers}
    for server in servers:
        _leg(questions[0], server, warm_up.short(2, seed=0))
    for question in questions:
        ours, theirs = by_contender[question.by], by_contender[question.against]
        yield Answer(question, tuple(_pair(question, ours, theirs, number=number) for number in range(repeats)))


def _pair(question: Question, ours: Running, theirs: Running, *, number: int) -> Pair:
    """Who goes first changes, so that what drifts favours neither; prompts are never seen twice by a server."""
    # Questions share no prompt, or the second would find the first one's kept.
    seed = (1 + number) * 100 + sum(question.name.encode()) % 97
    my_prompts = question.prompts(question.ours, seed)
    their_prompts = (question.their_prompts or question.prompts)(question.theirs, seed)
    if number % 2:
        second = _leg(question, theirs, their_prompts)
        return Pair(_leg(question, ours, my_prompts), second)
    first = _leg(question, ours, my_prompts)
    return Pair(first, _leg(question, theirs, their_prompts))


def _leg(question: Question, server: Running, prompts: Sequence[str]) -> Leg:
    return asyncio.run(drive(server, prompts, clients=question.clients, new_tokens=question.new_tokens))
