"""The clients people have: `requests` and `aiohttp` as the old server's examples used them, and the `openai` client.

Each talks to a real `hfmodel up` that serves SmolLM2 by its router, in another process.
"""

import asyncio

import aiohttp
import openai
import pytest
import requests

pytestmark = pytest.mark.slow

QUESTION = "What is the capital of France?"


def test_requests_walks_the_old_servers_tour(smollm2_url: str) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer not-asked-for"
        assert session.get(f"{smollm2_url}/health").json()["status"] == "healthy"
        assert session.get(f"{smollm2_url}/models").json()["smollm2"]["type"] == "instruction"
        assert session.post(f"{smollm2_url}/models/smollm2/load", json={"force_reload": False}).ok
        assert "smollm2" in session.get(f"{smollm2_url}/models/loaded").json()["loaded_models"]
        info = session.get(f"{smollm2_url}/models/smollm2/info").json()
        assert info["memory_usage"]["total_parameters"] == 134_515_008
        answer = session.post(
            f"{smollm2_url}/models/smollm2/generate",
            json={"text": "The capital of France is", "max_length": 12, "do_sample": False, "num_return_sequences": 2},
        ).json()
        assert answer["model_id"] == "smollm2"
        assert len(answer["generated_text"]) == len(answer["output_length"]) == 2
        assert all(text.startswith("The capital of France is Paris") for text in answer["generated_text"])
        chat = session.post(f"{smollm2_url}/models/smollm2/chat", json={"message": QUESTION, "do_sample": False}).json()
        assert "Paris" in chat["response"]
        assert QUESTION not in chat["response"]
        assert "unloaded" in session.post(f"{smollm2_url}/models/smollm2/unload").json()["message"]


async def test_aiohttp_sends_a_batch_of_prompts_at_once(smollm2_url: str) -> None:
    countries = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Germany": "Berlin"}
    async with aiohttp.ClientSession(smollm2_url) as session:

        async def ask(country: str) -> str:
            body = {"text": f"The capital of {country} is", "max_new_tokens": 6, "do_sample": False}
            async with session.post("/models/smollm2/generate", json=body) as response:
                assert response.status == 200
                answer = await response.json()
                return str(answer["generated_text"][0])

        answers = await asyncio.gather(*map(ask, countries))
    assert all(capital in answer for capital, answer in zip(countries.values(), answers, strict=True))


@pytest.fixture
def client(smollm2_url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{smollm2_url}/v1", api_key="unused", max_retries=0)


def test_openai_lists_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["smollm2"]
    assert client.models.retrieve("smollm2").object == "model"


def test_openai_chat_completion(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=16, logprobs=True
    )
    choice = answer.choices[0]
    assert "Paris" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert all(token.logprob <= 0 for token in choice.logprobs.content)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_openai_streaming_chat_adds_up_to_the_same_text(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0,
            max_tokens=16,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    whole = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=16
    )
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"


def test_openai_completion_with_stop_seed_and_n(client: openai.OpenAI) -> None:
    def ask() -> list[str]:
        answer = client.completions.create(
            model="HuggingFaceTB/SmolLM2-135M-Instruct",
            prompt="Count: one, two, three,",
            max_tokens=12,
            temperature=0.9,
            seed=7,
            n=2,
            stop=["ten"],
        )
        return [choice.text for choice in answer.choices]

    first = ask()
    assert first == ask()
    assert len(first) == 2
    assert all("ten" not in text for text in first)


def test_openai_sees_typed_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.completions.create(model="no-such-model", prompt="x")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="smollm2", prompt="x", temperature=5)
    with pytest.raises(openai.BadRequestError, match="tools"):
        client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "function", "function": {"name": "f"}}],
        )
