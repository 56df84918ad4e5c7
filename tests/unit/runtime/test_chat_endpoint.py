"""`POST /chat`: one turn of a conversation, whose transcript travels with the caller."""

import json
from dataclasses import replace

import httpx
import pytest

from hfmodel_runtime.engine.protocol import ChatMessage
from hfmodel_runtime.server.model import ServedModel
from support.fake_engine import FakeEngine, FakeTokenizer
from support.sse_events import data_of


async def test_only_the_answer_comes_back(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = lambda _: [" Paris", ". "]
    response = await client.post("/chat", json={"message": "Capital of France?"})
    body = response.json()
    assert body["response"] == "Paris."
    assert (body["model_id"], body["model_name"]) == ("fake", "org/fake")


async def test_the_context_that_came_back_carries_the_conversation_on(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    first = await client.post("/chat", json={"message": "one", "system": "Be kind."})
    await client.post("/chat", json={"message": "two", "context": first.json()["context"]})
    assert engine.tokenizer.conversations[1] == [
        ChatMessage("system", "Be kind."),
        ChatMessage("user", "one"),
        ChatMessage("assistant", "Hello, world"),
        ChatMessage("user", "two"),
    ]


async def test_a_system_text_given_later_replaces_the_first(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    first = await client.post("/chat", json={"message": "one", "system": "Be kind."})
    await client.post("/chat", json={"message": "two", "system": "Be brief.", "context": first.json()["context"]})
    systems = [turn.content for turn in engine.tokenizer.conversations[1] if turn.role == "system"]
    assert systems == ["Be brief."]


@pytest.mark.parametrize("model_type", ["text", "code", "instruction"])
async def test_other_types_understand_a_context_but_give_none(
    client: httpx.AsyncClient, model: ServedModel, engine: FakeEngine, model_type: str
) -> None:
    model.settings = replace(model.settings, type=model_type)
    context = json.dumps([{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}])
    response = await client.post("/chat", json={"message": "two", "context": context})
    assert response.json()["context"] is None
    assert len(engine.tokenizer.conversations[0]) == 3


async def test_a_context_of_another_make_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat", json={"message": "x", "context": "User: hi"})
    assert (response.status_code, response.json()["param"]) == (400, "context")


async def test_max_length_is_capped_not_refused(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.post("/chat", json={"message": "x", "max_length": 8192})
    request = engine.requests[0]
    assert len(request.prompt) + request.sampling.max_new_tokens == 1000


async def test_the_formats_own_stop_strings_are_added(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.tokenizer = FakeTokenizer(chat_stop=("\nHuman:",))
    await client.post("/chat", json={"message": "x", "stop": "END"})
    assert engine.requests[0].sampling.stop == ("END", "\nHuman:")


async def test_a_stream_gives_pieces_then_the_whole_answer(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat", json={"message": "x", "stream": True})
    *pieces, whole, done = data_of(response.text)
    assert [json.loads(piece) for piece in pieces] == [{"text": "Hello"}, {"text": ","}, {"text": " world"}]
    assert json.loads(whole)["response"] == "Hello, world"
    assert json.loads(whole)["context"]
    assert done == "[DONE]"
