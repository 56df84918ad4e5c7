"""`POST /v1/chat/completions`, field by field as OpenAI's API has it."""

import json
from typing import Any

import httpx
import pytest

from hfmodel_runtime.engine.protocol import ChatMessage
from support.fake_engine import FakeEngine, FakeTokenizer
from support.sse_events import data_of

PATH = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
PROMPT_TOKENS = len("<user>hi<assistant>")


def _call(**fields: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": HI, **fields}


async def _chunks(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    response = await client.post(PATH, json=_call(stream=True, **fields))
    assert response.status_code == 200, response.text
    *chunks, done = data_of(response.text)
    assert done == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


async def test_a_whole_answer(client: httpx.AsyncClient) -> None:
    body = (await client.post(PATH, json=_call())).json()
    assert body.pop("id").startswith("chatcmpl-")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "chat.completion",
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello, world", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": 4,
            "total_tokens": PROMPT_TOKENS + 4,
        },
    }


async def test_the_repo_id_names_the_model_too(client: httpx.AsyncClient) -> None:
    assert (await client.post(PATH, json=_call(model="org/fake"))).status_code == 200


async def test_another_model_is_not_found(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await client.post(PATH, json=_call(model="gpt-4"))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "gpt-4" in error["message"]
    assert not engine.requests


async def test_roles_and_text_parts_reach_the_template(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "c"},
    ]
    await client.post(PATH, json=_call(messages=messages))
    assert engine.tokenizer.conversations == [
        [
            ChatMessage("system", "Be kind."),
            ChatMessage("user", "ab"),
            ChatMessage("assistant", ""),
            ChatMessage("user", "c"),
        ]
    ]


async def test_messages_that_the_template_refuses_are_the_callers_error(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=_call(messages=[{"role": "assistant", "content": "x"}]))
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "messages")
    assert "the last message must be the user's" in error["message"]


async def test_choices_have_their_index(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = lambda request: [f"seed {request.sampling.seed}"]
    body = (await client.post(PATH, json=_call(n=3, seed=5))).json()
    assert [choice["message"]["content"] for choice in body["choices"]] == ["seed 5", "seed 6", "seed 7"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert body["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(("max_tokens", "reason"), [(2, "length"), (9, "stop")])
async def test_the_finish_reason_says_why_it_ended(client: httpx.AsyncClient, max_tokens: int, reason: str) -> None:
    body = (await client.post(PATH, json=_call(max_tokens=max_tokens))).json()
    assert body["choices"][0]["finish_reason"] == reason


async def test_logprobs(client: httpx.AsyncClient) -> None:
    body = (await client.post(PATH, json=_call(max_tokens=1, logprobs=True, top_logprobs=2))).json()
    hello = {"token": "Hello", "logprob": -0.25, "bytes": list(b"Hello")}
    other = {"token": "other", "logprob": -9999.0, "bytes": list(b"other")}
    assert body["choices"][0]["logprobs"] == {"content": [{**hello, "top_logprobs": [hello, other]}], "refusal": None}


async def test_a_stream_begins_with_the_role_and_ends_with_the_reason(client: httpx.AsyncClient) -> None:
    chunks = await _chunks(client)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in chunk for chunk in chunks)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello"},
        {"content": ","},
        {"content": " world"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]


async def test_a_stream_can_end_with_the_usage(client: httpx.AsyncClient) -> None:
    *chunks, last = await _chunks(client, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": 4,
        "total_tokens": PROMPT_TOKENS + 4,
    }


async def test_a_stream_of_several_choices(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = lambda request: [str(request.sampling.seed)]
    chunks = await _chunks(client, n=2, seed=1)
    text = {0: "", 1: ""}
    for chunk in chunks:
        choice = chunk["choices"][0]
        text[choice["index"]] += choice["delta"].get("content", "")
    assert text == {0: "1", 1: "2"}


async def test_a_stream_carries_logprobs(client: httpx.AsyncClient) -> None:
    chunks = await _chunks(client, logprobs=True, max_tokens=1)
    with_logprobs = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert [token["token"] for each in with_logprobs for token in each["content"]] == ["Hello"]


async def test_a_failure_after_the_first_chunk_is_an_openai_error_event(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = lambda _: ["good", RuntimeError("then not")]
    response = await client.post(PATH, json=_call(stream=True))
    assert response.status_code == 200
    *_, last = data_of(response.text)
    assert json.loads(last)["error"]["code"] == "engine_failed"


async def test_a_conversation_longer_than_the_model_is_refused_with_both_numbers(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=_call(messages=[{"role": "user", "content": "x" * 2000}]))
    message = response.json()["error"]["message"]
    assert response.status_code == 400
    assert "2017 tokens" in message
    assert "at most 1000" in message


async def test_fallback_formats_bring_their_stop_strings(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.tokenizer = FakeTokenizer(chat_stop=("\nHuman:",))
    await client.post(PATH, json=_call())
    assert engine.requests[0].sampling.stop == ("\nHuman:",)


async def test_models_lists_the_one_model(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["fake"]
    for name in ("fake", "org/fake"):
        assert (await client.get(f"/v1/models/{name}")).json() == listed["data"][0]
    assert (await client.get("/v1/models/other")).status_code == 404


async def test_models_are_listed_while_loading(loading_client: httpx.AsyncClient) -> None:
    assert (await loading_client.get("/v1/models")).status_code == 200
