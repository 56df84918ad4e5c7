"""Callers that ask a model again and again while a test does something to the cluster."""

import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

_ANSWER_SECONDS = 120.0


@dataclass(slots=True)
class SteadyCallers:
    """`count` callers of `url`, one request each at a time, on a connection of its own as new clients have.

    `answers` has the JSON of every answer with status 200, `failures` a line for everything else.
    """

    url: str
    body: dict[str, Any]
    count: int = 2
    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(_ANSWER_SECONDS)
            if thread.is_alive():
                self.failures.append(f"no answer within {_ANSWER_SECONDS:g} s")

    def _call(self) -> None:
        while not self._done.is_set():
            try:
                answer = httpx.post(self.url, json=self.body, timeout=_ANSWER_SECONDS, trust_env=False)
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
                continue
            if answer.status_code == httpx.codes.OK:
                self.answers.append(answer.json())
            else:
                self.failures.append(f"{answer.status_code}: {answer.text}")
