"""A conversation as OpenAI's API has it: the messages so far, sent whole with every turn."""

from collections.abc import Mapping
from typing import Any


class Conversation:
    """What was said so far, and how answers are chosen."""

    def __init__(self, model_id: str, *, system: str | None = None, fields: Mapping[str, Any] | None = None) -> None:
        self.model_id = model_id
        self.system = system
        self._fields = dict(fields or {})
        self._turns: list[dict[str, str]] = []

    def request(self, message: str) -> dict[str, Any]:
        """The body of the call that asks for the answer to `message`. Changes nothing."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*system, *self._turns, {"role": "user", "content": message}]
        return {"model": self.model_id, "messages": messages, **self._fields}

    def add(self, message: str, answer: str) -> None:
        """A turn is over; an answer that was stopped counts as far as it came."""
        self._turns.append({"role": "user", "content": message})
        self._turns.append({"role": "assistant", "content": answer})

    def reset(self) -> None:
        """Forget what was said; the system message stays."""
        self._turns.clear()
