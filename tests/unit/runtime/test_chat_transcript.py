"""The `context` of /chat goes out, comes back and means the same; anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_api.errors import InvalidRequest
from hfmodel_runtime.engine.protocol import ChatMessage
from hfmodel_runtime.server.transcript import read_transcript, write_transcript

turns = st.lists(st.builds(ChatMessage, st.sampled_from(["system", "user", "assistant"]), st.text()), max_size=5)


@given(turns)
def test_what_was_written_reads_back(messages: list[ChatMessage]) -> None:
    assert read_transcript(write_transcript(messages)) == messages


@pytest.mark.parametrize("context", [None, ""])
def test_no_context_is_no_turns(context: str | None) -> None:
    assert read_transcript(context) == []


GARBAGE = {
    "text": "User: hi\nBot: hello",
    "not JSON": "[{",
    "not a list": '{"role": "user", "content": "x"}',
    "unknown role": '[{"role": "tool", "content": "x"}]',
    "missing content": '[{"role": "user"}]',
    "content not a text": '[{"role": "user", "content": 5}]',
    "more than a turn has": '[{"role": "user", "content": "x", "name": "y"}]',
    "deeply nested": "[" * 100_000,
    "half a character": '[{"role": "user", "content": "\\ud800"}]',
    "too many turns": "[" + ",".join(['{"role":"user","content":""}'] * 10_001) + "]",
}


@pytest.mark.parametrize("context", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_refused_by_name(context: str) -> None:
    with pytest.raises(InvalidRequest, match="context is not a transcript") as refusal:
        read_transcript(context)
    assert refusal.value.param == "context"
