"""Which streams are whole, and which end in an error that a client sees."""

import json
from typing import Any

import pytest

from chaos.questions import Call, Question
from chaos.reading import Reading, begins

COMPLETION = Question("m", Call.COMPLETION, "one", 4)
CHAT = Question("m", Call.CHAT, "one", 4)
GENERATE = Question("m", Call.GENERATE, "one", 4)
DONE = "data: [DONE]"


def event(body: Any) -> str:
    return f"data: {json.dumps(body)}"


def piece(text: str, *, last: bool = False) -> str:
    return event({"choices": [{"text": text, "finish_reason": "length" if last else None}]})


def chat_piece(text: str | None, *, last: bool = False) -> str:
    return event({"choices": [{"delta": {"content": text}, "finish_reason": "stop" if last else None}]})


def reading(question: Question, *lines: str) -> Reading:
    found = Reading(question)
    for line in lines:
        found.feed(line)
    return found


@pytest.mark.parametrize(
    ("question", "lines", "text"),
    [
        pytest.param(COMPLETION, [": waiting", "", piece(" two"), "", piece(" three", last=True), DONE], " two three"),
        pytest.param(CHAT, [chat_piece(None), chat_piece("two"), chat_piece("", last=True), DONE], "two"),
        pytest.param(GENERATE, [event({"text": " two"}), event({"generated_text": ["one two"]}), DONE], "one two"),
    ],
    ids=["completion", "chat", "generate"],
)
def test_a_whole_stream(question: Question, lines: list[str], text: str) -> None:
    found = reading(question, *lines)
    assert (found.complete, found.text, found.error) == (True, text, "")


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        pytest.param(COMPLETION, [piece(" two"), DONE], id="without its last token"),
        pytest.param(COMPLETION, [piece(" two", last=True)], id="without its end"),
        pytest.param(GENERATE, [event({"text": " two"}), DONE], id="without the whole answer"),
        pytest.param(
            GENERATE,
            [event({"text": " x"}), event({"generated_text": ["one two"]}), DONE],
            id="not the end of the whole",
        ),
    ],
)
def test_a_stream_that_lacks_something_is_not_whole(question: Question, lines: list[str]) -> None:
    assert not reading(question, *lines).complete


@pytest.mark.parametrize(
    ("question", "error"),
    [
        pytest.param(COMPLETION, {"error": {"message": "it died", "code": "engine_failed"}}, id="as OpenAI's"),
        pytest.param(GENERATE, {"detail": "it died", "code": "engine_failed"}, id="as the old server's"),
    ],
)
def test_an_error_is_seen_whatever_follows(question: Question, error: dict[str, Any]) -> None:
    found = reading(question, event(error), DONE)
    assert (found.complete, found.error) == (False, "engine_failed")


def test_what_was_streamed_before_a_cut_is_a_beginning_of_the_answer() -> None:
    assert begins("one two three", GENERATE, " two")
    assert begins(" two three", COMPLETION, "")
    assert not begins(" two three", COMPLETION, " four")
