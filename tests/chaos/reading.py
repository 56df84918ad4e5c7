"""Reading a stream of events as a client does, and seeing whether it is whole. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from chaos.questions import Call, Question


@dataclass(slots=True)
class Reading:
    """The events of one answer so far."""

    question: Question
    text: str = ""
    error: str = ""  # the error that the stream told
    _finished: bool = False  # the last token was announced as such
    _done: bool = False

    @property
    def complete(self) -> bool:
        """It ended as the call promises: the last token, then [DONE]."""
        return self._finished and self._done and not self.error

    def feed(self, line: str) -> None:
        """One line; comments and lines between events are passed over."""
        if not line.startswith("data:"):
            return
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self._done = True
            return
        event = json.loads(data)
        if "error" in event or "detail" in event:
            self.error = _said(event)
        elif self.question.call is Call.GENERATE:
            self._generated(event)
        elif event["choices"]:
            self._chosen(event["choices"][0])

    def _generated(self, event: dict[str, Any]) -> None:
        if "generated_text" in event:
            # The whole answer once more: what was streamed must be its end.
            whole = self.question.text_of(event)
            self._finished = whole.endswith(self.text)
            self.text = whole
        else:
            self.text += event["text"]

    def _chosen(self, choice: dict[str, Any]) -> None:
        piece = choice["text"] if self.question.call is Call.COMPLETION else choice["delta"].get("content")
        self.text += piece or ""
        self._finished = choice["finish_reason"] is not None


def begins(expected: str, question: Question, text: str) -> bool:
    """Whether `text` is what may have been streamed of `expected` before it was cut."""
    prompt = question.prompt if question.call is Call.GENERATE else ""
    return expected.removeprefix(prompt).startswith(text)


def _said(event: dict[str, Any]) -> str:
    error = event.get("error")
    return str(error["code"] if isinstance(error, dict) else event.get("code"))
