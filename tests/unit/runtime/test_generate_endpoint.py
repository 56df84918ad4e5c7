"""`POST /generate` as the old server's clients know it."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from hfmodel_runtime.engine.protocol import EngineLimits
from hfmodel_runtime.server.model import ServedModel
from support.fake_engine import FakeEngine, FakeTokenizer
from support.sse_events import data_of


async def test_the_answer_has_the_old_fields_and_the_prompt(client: httpx.AsyncClient) -> None:
    response = await client.post("/generate", json={"text": "Say: ", "max_length": 50, "temperature": 0.5, "seed": 3})
    assert response.status_code == 200
    assert response.json() == {
        "generated_text": ["Say: Hello, world"],
        "model_id": "fake",
        "model_name": "org/fake",
        "input_length": 5,
        "output_length": [9],
        "generation_params": {
            "max_length": 50,
            "max_new_tokens": 45,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 50,
            "do_sample": True,
            "num_return_sequences": 1,
            "repetition_penalty": 1.0,
            "seed": 3,
        },
    }


async def test_several_sequences_share_the_prompt_and_have_seeds_of_their_own(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = lambda request: [str(request.sampling.seed)]
    call = {"text": "x", "num_return_sequences": 3, "seed": 2**63 - 2}
    response = await client.post("/generate", json=call)
    assert response.json()["generated_text"] == [f"x{2**63 - 2}", f"x{2**63 - 1}", f"x{-(2**63)}"]
    assert response.json()["output_length"] == [3, 3, 3]


async def test_greedy_is_what_was_used(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await client.post("/generate", json={"text": "x", "do_sample": False, "temperature": 1.9})
    assert response.json()["generation_params"]["do_sample"] is False
    assert engine.requests[0].sampling.greedy


async def test_an_empty_prompt_starts_with_the_models_first_token(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    response = await client.post("/generate", json={"text": ""})
    assert response.json()["generated_text"] == ["Hello, world"]
    assert engine.requests[0].prompt == (1,)


async def test_an_empty_prompt_is_refused_by_a_model_without_one(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.tokenizer = FakeTokenizer(first_token=None)
    response = await client.post("/generate", json={"text": ""})
    assert response.status_code == 400
    assert response.json()["param"] == "text"


async def test_a_prompt_longer_than_the_model_is_refused_with_both_numbers(client: httpx.AsyncClient) -> None:
    response = await client.post("/generate", json={"text": "x" * 1000})
    assert response.status_code == 400
    assert "1000 tokens" in response.json()["detail"]
    assert "at most 1000" in response.json()["detail"]


async def test_a_stream_gives_pieces_then_the_whole_answer(client: httpx.AsyncClient) -> None:
    response = await client.post("/generate", json={"text": "Say: ", "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    *pieces, whole, done = data_of(response.text)
    assert [json.loads(piece)["text"] for piece in pieces] == ["Hello", ",", " world"]
    assert json.loads(whole)["generated_text"] == ["Say: Hello, world"]
    assert json.loads(whole)["output_length"] == [9]
    assert done == "[DONE]"


async def test_an_engine_failure_is_an_error_and_harms_nobody_else(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = lambda request: ["a", RuntimeError("row on fire")] if request.prompt == (120,) else ["fine"]
    broken, fine = await asyncio.gather(
        client.post("/generate", json={"text": "x"}), client.post("/generate", json={"text": "y"})
    )
    assert (broken.status_code, broken.json()["code"]) == (500, "engine_failed")
    assert "row on fire" in broken.json()["detail"]
    assert fine.json()["generated_text"] == ["yfine"]


async def test_a_failure_before_the_first_piece_of_a_stream_is_a_plain_error(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = lambda _: [RuntimeError("no luck")]
    response = await client.post("/generate", json={"text": "x", "stream": True})
    assert response.status_code == 500
    assert "no luck" in response.json()["detail"]


async def test_a_failure_after_the_first_piece_of_a_stream_is_an_event(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = lambda _: ["good", RuntimeError("then not")]
    response = await client.post("/generate", json={"text": "x", "stream": True})
    assert response.status_code == 200
    first, last = data_of(response.text)
    assert json.loads(first)["text"] == "good"
    assert json.loads(last)["code"] == "engine_failed"


class TestSeq2Seq:
    """A model that answers a text instead of going on with it."""

    @pytest.fixture
    def engine(self) -> Any:
        fake = FakeEngine(seq2seq=True, limits=EngineLimits(max_length=20))
        yield fake
        fake.close()

    async def test_only_the_answer_comes_back_and_is_counted(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/generate", json={"text": "x" * 20, "max_length": 10})
        assert response.json()["generated_text"] == ["Hello, world"]
        assert response.json()["input_length"] == 20
        assert response.json()["output_length"] == [4]
        assert response.json()["generation_params"]["max_length"] == 10

    async def test_a_prompt_may_fill_the_model(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/generate", json={"text": "x" * 20})).status_code == 200
        assert (await client.post("/generate", json={"text": "x" * 21})).status_code == 400


async def test_a_queue_that_is_full_says_when_to_come_back(model: ServedModel, client: httpx.AsyncClient) -> None:
    engine = FakeEngine(limits=EngineLimits(max_length=1000, max_running=1, max_queued=1))
    model.loaded(engine)
    engine.pause()
    taken = [asyncio.create_task(client.post("/generate", json={"text": "x"})) for _ in range(2)]
    await asyncio.to_thread(engine.wait_for_sequences, 2)
    activity = (await client.get("/activity")).json()
    assert (activity["running"], activity["queued"]) == (1, 1)
    refused = await client.post("/generate", json={"text": "x"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.json()["code"] == "overloaded"
    engine.resume()
    assert [response.status_code for response in await asyncio.gather(*taken)] == [200, 200]
    engine.close()


async def test_more_sequences_than_the_queue_holds_is_the_callers_error(
    model: ServedModel, client: httpx.AsyncClient
) -> None:
    engine = FakeEngine(limits=EngineLimits(max_length=1000, max_running=1, max_queued=1))
    model.loaded(engine)
    response = await client.post("/generate", json={"text": "x", "num_return_sequences": 2})
    assert response.status_code == 400
    assert "at most 1" in response.json()["detail"]
    engine.close()
