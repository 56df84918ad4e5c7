"""`POST /v1/completions`, field by field as OpenAI's API has it."""

import json
from typing import Any

import httpx
import pytest

from support.fake_engine import FakeEngine
from support.sse_events import data_of

PATH = "/v1/completions"


def _call(prompt: Any = "Say:", **fields: Any) -> dict[str, Any]:
    return {"model": "fake", "prompt": prompt, **fields}


async def _chunks(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    response = await client.post(PATH, json=_call(stream=True, **fields))
    assert response.status_code == 200, response.text
    *chunks, done = data_of(response.text)
    assert done == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


async def test_a_whole_answer(client: httpx.AsyncClient) -> None:
    body = (await client.post(PATH, json=_call())).json()
    assert body.pop("id").startswith("cmpl-")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "text_completion",
        "model": "fake",
        "choices": [{"index": 0, "text": "Hello, world", "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8},
    }


async def test_sixteen_tokens_by_default(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = lambda _: ["x"] * 100
    body = (await client.post(PATH, json=_call())).json()
    assert body["choices"][0]["text"] == "x" * 16
    assert body["choices"][0]["finish_reason"] == "length"


PROMPTS = {
    "text": ("ab", [(97, 98)]),
    "texts": (["ab", "c"], [(97, 98), (99,)]),
    "token ids": ([97, 98], [(97, 98)]),
    "lists of token ids": ([[97, 98], [99]], [(97, 98), (99,)]),
}


@pytest.mark.parametrize(("prompt", "expected"), PROMPTS.values(), ids=PROMPTS.keys())
async def test_every_shape_of_prompt(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any, expected: list[tuple[int, ...]]
) -> None:
    body = (await client.post(PATH, json=_call(prompt))).json()
    assert [request.prompt for request in engine.requests] == expected
    assert [choice["index"] for choice in body["choices"]] == list(range(len(expected)))
    assert body["usage"]["prompt_tokens"] == sum(map(len, expected))


async def test_choices_are_numbered_prompt_by_prompt(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.script = lambda request: [f"{request.prompt} {request.sampling.seed}"]
    body = (await client.post(PATH, json=_call([[5], [6]], n=2, seed=1))).json()
    assert [choice["text"] for choice in body["choices"]] == ["(5,) 1", "(5,) 2", "(6,) 1", "(6,) 2"]


@pytest.mark.parametrize("prompt", ["Say:", [83, 97, 121, 58]], ids=["text", "token ids"])
async def test_echo_puts_the_prompt_before_the_answer(client: httpx.AsyncClient, prompt: Any) -> None:
    body = (await client.post(PATH, json=_call(prompt, echo=True))).json()
    assert body["choices"][0]["text"] == "Say:Hello, world"


async def test_echo_with_logprobs_is_refused_by_name(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await client.post(PATH, json=_call(echo=True, logprobs=1))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "echo")
    assert not engine.requests


async def test_logprobs(client: httpx.AsyncClient) -> None:
    body = (await client.post(PATH, json=_call(logprobs=2, max_tokens=2))).json()
    assert body["choices"][0]["logprobs"] == {
        "tokens": ["Hello", ","],
        "token_logprobs": [-0.25, -0.25],
        "top_logprobs": [{"Hello": -0.25, "other": -9999.0}, {",": -0.25, "other": -9999.0}],
        "text_offset": [0, 5],
    }


async def test_a_stream(client: httpx.AsyncClient) -> None:
    chunks = await _chunks(client)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["text"] for choice in choices) == "Hello, world"
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


async def test_a_stream_with_echo_usage_and_logprobs(client: httpx.AsyncClient) -> None:
    echoed = await _chunks(client, echo=True)
    assert "".join(chunk["choices"][0]["text"] for chunk in echoed) == "Say:Hello, world"
    *chunks, last = await _chunks(client, stream_options={"include_usage": True}, logprobs=0)
    assert last["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
    offsets = [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks[:3]]
    assert offsets == [[0], [5], [6]]


@pytest.mark.parametrize(
    "fields", [{"prompt": [0x110000]}, {"prompt": [[5], [0x110000]]}, {"logit_bias": {"1114112": 1}}]
)
async def test_a_token_the_model_does_not_have_is_refused(
    client: httpx.AsyncClient, engine: FakeEngine, fields: dict[str, Any]
) -> None:
    response = await client.post(PATH, json=_call() | fields)
    assert response.status_code == 400
    assert "token 1114112 does not exist" in response.json()["error"]["message"]
    assert not engine.requests


async def test_one_prompt_too_long_refuses_the_call(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await client.post(PATH, json=_call(["fine", "x" * 1000]))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"
    assert not engine.requests


async def test_asking_for_more_tokens_than_fit_is_refused_with_the_numbers(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=_call(max_tokens=997))
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "max_tokens")
    assert all(number in error["message"] for number in ("997", "1000", "4"))
