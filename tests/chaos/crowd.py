"""Who asks: callers of every model, some without a break, some in short times with pauses between."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from chaos.caller import Caller, http_client
from chaos.plan import Fault, waking_hours
from chaos.questions import MODELS, NAPPERS, STEADY, Question
from chaos.records import Record
from chaos.rig import Hit

_CALLERS: Final = 3  # of each model
_PAUSES: Final = (0.05, 0.6)  # seconds between an answer and the next question


@dataclass(slots=True, kw_only=True)
class Crowd:
    """Asks at `url` for `seconds`; what comes of it is in `records`."""

    url: str
    seed: int
    seconds: float
    answers: Mapping[Question, str]
    flood_size: int
    clock: Callable[[], float]
    records: list[Record] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _callers: dict[bool, Caller] = field(default_factory=dict)

    async def __aenter__(self) -> "Crowd":
        for pooled in (False, True):
            http = await self._stack.enter_async_context(http_client(pooled=pooled))
            self._callers[pooled] = Caller(url=self.url, http=http, clock=self.clock)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def call(self) -> None:
        """Until the time is over and the last answer is here."""
        async with asyncio.TaskGroup() as group:
            for model in MODELS:
                for number in range(_CALLERS):
                    group.create_task(self._call(model, number))

    async def once_each(self) -> None:
        """One question to every model: is each one still there?"""
        async with asyncio.TaskGroup() as group:
            for model in MODELS:
                question = next(question for question in self.answers if question.model == model)
                group.create_task(self._ask(question, stream=False, pooled=False))

    async def flood(self, fault: Fault) -> Hit:
        """More requests for one model, all at once, than are held."""
        numbers = random.Random(fault.number)
        model = numbers.choice(NAPPERS)
        short = min((each for each in self.answers if each.model == model), key=lambda each: each.tokens)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.flood_size):
                group.create_task(self._ask(short, stream=numbers.random() < 0.5, pooled=False))
        return Hit(f"{self.flood_size} requests for {model}", model)

    async def _call(self, model: str, number: int) -> None:
        numbers = random.Random(f"{self.seed}/{model}/{number}")
        questions = [question for question in self.answers if question.model == model]
        always = ((0.0, self.seconds),)
        hours = always if model == STEADY else waking_hours(seed=f"{self.seed}/{model}", seconds=self.seconds)
        for begin, end in hours:
            await asyncio.sleep(begin - self.clock())
            while self.clock() < end:
                question, stream = numbers.choice(questions), numbers.random() < 0.5
                await self._ask(question, stream=stream, pooled=number == 0)
                await asyncio.sleep(numbers.uniform(*_PAUSES))

    async def _ask(self, question: Question, *, stream: bool, pooled: bool) -> None:
        request_id = f"chaos-{self.seed}-{next(self._numbers)}"
        record = await self._callers[pooled].ask(
            question, expected=self.answers[question], stream=stream, request_id=request_id
        )
        self.records.append(record)
