"""Submitting to an engine and waiting for the answers, with a deadline that turns a hang into a failure."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hfmodel_runtime.engine.protocol import Engine, FinishReason, Sampling, SequenceEvent, SequenceRequest, Ticket

DEADLINE = 60.0  # seconds


@dataclass
class Answer:
    """What a sink has seen of one sequence."""

    events: list[SequenceEvent] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: SequenceEvent) -> None:
        assert not self.finished.is_set(), "an event after the last one"
        self.events.append(event)
        if event.token_ids:
            self.started.set()
        if event.finish_reason is not None:
            self.finished.set()

    def wait(self) -> "Answer":
        assert self.finished.wait(DEADLINE), "the sequence did not end"
        return self

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events)

    @property
    def token_ids(self) -> list[int]:
        return [token_id for event in self.events for token_id in event.token_ids]

    @property
    def reason(self) -> FinishReason | None:
        return self.events[-1].finish_reason if self.events else None

    @property
    def error(self) -> str | None:
        return self.events[-1].error if self.events else None


def submit(
    engine: Engine, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]
) -> tuple[list[Answer], Sequence[Ticket]]:
    """Submit all in one call."""
    answers = [Answer() for _ in prompts]
    requests = [
        SequenceRequest(prompt=tuple(prompt), sampling=sampling, request_id=str(number))
        for number, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True))
    ]
    return answers, engine.submit(requests, answers)


def generate(engine: Engine, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]) -> list[Answer]:
    """Submit all in one call and wait for every answer."""
    return [answer.wait() for answer in submit(engine, prompts, samplings)[0]]
