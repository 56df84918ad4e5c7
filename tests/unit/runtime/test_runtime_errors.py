"""What goes wrong before any token is computed: every error is JSON, in the shape its callers expect."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hfmodel_api.names import HEADER_REFUSED, HEADER_REQUEST_ID, HEADER_TOKENS
from hfmodel_runtime.server.model import ServedModel
from support.fake_engine import FakeEngine, FakeTokenizer

CALLS: dict[str, dict[str, Any]] = {
    "/generate": {"text": "x"},
    "/chat": {"message": "x"},
    "/tokenize": {"text": "x"},
    "/v1/completions": {"model": "fake", "prompt": "x"},
    "/v1/chat/completions": {"model": "fake", "messages": [{"role": "user", "content": "x"}]},
}


def _message(path: str, body: dict[str, Any]) -> str:
    return str(body["error"]["message"] if path.startswith("/v1/") else body["detail"])


@pytest.mark.parametrize("path", CALLS)
async def test_a_loading_process_refuses_and_promises_that_nothing_was_started(
    loading_client: httpx.AsyncClient, path: str
) -> None:
    response = await loading_client.post(path, json=CALLS[path])
    assert (response.status_code, response.headers[HEADER_REFUSED]) == (503, "loading")
    assert response.headers["retry-after"] == "1"
    assert "still loading" in _message(path, response.json())


async def test_refusals_are_counted(loading_client: httpx.AsyncClient) -> None:
    await loading_client.post("/generate", json=CALLS["/generate"])
    metrics = (await loading_client.get("/metrics")).text
    assert 'hfmodel_runtime_requests_refused_total{reason="loading"} 1.0' in metrics


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"\xff": 1}', b"[" * 5000], ids=repr)
async def test_what_is_not_a_json_object_is_refused(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    response = await client.post(path, content=body)
    assert response.status_code == 400
    assert _message(path, response.json())


@pytest.mark.parametrize("path", CALLS)
async def test_an_unknown_field_is_named(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json={**CALLS[path], "temprature": 1})
    assert response.status_code == 400
    assert "temprature" in _message(path, response.json())


BAD_FIELDS = {
    "prompt of a million wrong items": ("/v1/completions", {"prompt": [{}] * 3000}, "prompt"),
    "thousands of unknown fields": ("/generate", {f"x{i}": 1 for i in range(900)}, None),
    "a bias that is no token": ("/v1/completions", {"logit_bias": {"x": 1}}, "logit_bias"),
    "a bias beyond any token": ("/v1/completions", {"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
    "negative token": ("/v1/completions", {"prompt": [-1]}, "prompt"),
    "no prompts": ("/v1/completions", {"prompt": []}, "prompt"),
    "a prompt without tokens": ("/v1/completions", {"prompt": [[]]}, "prompt"),
    "text and messages": ("/tokenize", {"messages": [{"role": "user", "content": "x"}]}, None),
}


@pytest.mark.parametrize(("path", "fields", "param"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
async def test_bad_fields_are_the_callers_error(
    client: httpx.AsyncClient, engine: FakeEngine, path: str, fields: dict[str, Any], param: str | None
) -> None:
    response = await client.post(path, json=CALLS[path] | fields)
    assert response.status_code == 400
    if param is not None:
        assert response.json()["error"]["param"] == param
    assert len(response.content) < 2000
    assert not engine.requests


@pytest.mark.parametrize("path", CALLS)
async def test_a_body_beyond_the_limit_is_refused_by_its_announced_length(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, content=b" " * 10_001)
    assert (response.status_code, response.headers["connection"]) == (413, "close")
    assert "10000 bytes" in _message(path, response.json())


@pytest.mark.parametrize("path", [*CALLS, "/retire"])
async def test_a_body_that_announces_nothing_is_refused_as_soon_as_it_is_too_long(
    client: httpx.AsyncClient, path: str
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 1000
            yield b" " * 1000

    response = await client.post(path, content=endless())
    assert response.status_code == 413
    assert sent < 20_000


async def test_a_length_that_is_no_number_is_not_believed(client: httpx.AsyncClient) -> None:
    request = client.build_request("POST", "/generate", json=CALLS["/generate"])
    request.headers["content-length"] = "many"
    assert (await client.send(request)).status_code == 200


@pytest.mark.parametrize(("path", "shape"), [("/nope", "detail"), ("/v1/nope", "error"), ("/generate/", "detail")])
async def test_an_unknown_path_is_not_found_in_json(client: httpx.AsyncClient, path: str, shape: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert shape in response.json()


@pytest.mark.parametrize(("path", "shape"), [("/generate", "detail"), ("/v1/completions", "error")])
async def test_a_wrong_method_says_which_is_right(client: httpx.AsyncClient, path: str, shape: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "POST" in str(response.json()[shape])


async def test_a_defect_is_an_error_without_its_details(
    client: httpx.AsyncClient, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenTokenizer(FakeTokenizer):
        def encode(self, text: str) -> list[int]:
            raise ZeroDivisionError("secret details")

    engine.tokenizer = BrokenTokenizer()
    response = await client.post("/generate", json={"text": "x"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.headers[HEADER_REQUEST_ID] in response.json()["detail"]
    assert "ZeroDivisionError" in caplog.text
    assert (await client.get("/activity")).json()["running"] == 0


async def test_the_callers_request_id_comes_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models", headers={HEADER_REQUEST_ID: "abc-1"})
    assert response.headers.get_list(HEADER_REQUEST_ID) == ["abc-1"]


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words"])
async def test_without_a_usable_request_id_one_is_made(client: httpx.AsyncClient, given: str | None) -> None:
    headers = {} if given is None else {HEADER_REQUEST_ID: given}
    response = await client.get("/v1/models", headers=headers)
    assert len(response.headers[HEADER_REQUEST_ID]) == 32


async def test_the_engine_knows_the_request_id(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.post("/generate", json={"text": "x"}, headers={HEADER_REQUEST_ID: "abc"})
    assert engine.requests[0].request_id == "abc"


async def test_one_log_line_a_request_and_never_its_text(
    client: httpx.AsyncClient, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hfmodel_runtime")
    engine.script = lambda _: ["the-answer"]
    await client.post(
        "/generate",
        json={"text": "the-question"},
        headers={"authorization": "Bearer the-key", HEADER_REQUEST_ID: "abc"},
    )
    await client.get("/healthz")
    (record,) = [record for record in caplog.records if record.message == "request"]
    fields = record.__dict__["fields"]
    assert fields.pop("seconds") >= fields.pop("first_token") >= 0
    assert fields == {
        "request_id": "abc",
        "method": "POST",
        "path": "/generate",
        "status": 200,
        "prompt_tokens": 12,
        "answer_tokens": 2,
        "finish_reason": "stop",
    }
    assert not any(word in caplog.text for word in ("the-answer", "the-question", "the-key"))


@pytest.mark.parametrize("path", [path for path in CALLS if path != "/tokenize"])
async def test_a_whole_answer_says_how_many_tokens_it_took(
    client: httpx.AsyncClient, engine: FakeEngine, path: str
) -> None:
    engine.script = lambda _: ["one", "two"]
    response = await client.post(path, json=CALLS[path])
    prompt, answer = map(int, response.headers[HEADER_TOKENS].split(" "))
    assert (prompt, answer) == (len(engine.requests[0].prompt), 3)


@pytest.mark.parametrize("path", [path for path in CALLS if path != "/tokenize"])
async def test_a_stream_ends_with_its_tokens_for_who_asks_for_them(
    client: httpx.AsyncClient, engine: FakeEngine, path: str
) -> None:
    engine.script = lambda _: ["one", "two"]
    body = {**CALLS[path], "stream": True}
    told = (await client.post(path, json=body, headers={HEADER_TOKENS: "1"})).text
    assert told.endswith(f"data: [DONE]\n\n: tokens {len(engine.requests[0].prompt)} 3\n\n")
    assert (await client.post(path, json=body)).text.endswith("data: [DONE]\n\n")


async def test_what_has_no_tokens_and_a_stream_that_begins_do_not_say_how_many(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = lambda _: ["x"] * 50
    assert HEADER_TOKENS not in (await client.get("/v1/models")).headers
    assert HEADER_TOKENS not in (await client.post("/generate", json={"text": ""} | {"top_p": 9})).headers


async def test_an_engine_that_dies_unnoticed_refuses_and_is_noticed(
    client: httpx.AsyncClient, engine: FakeEngine, model: ServedModel
) -> None:
    engine.close()
    response = await client.post("/generate", json={"text": "x"})
    assert (response.status_code, response.headers[HEADER_REFUSED]) == (503, "engine-dead")
    assert (await client.get("/healthz")).status_code == 503
    assert model.lifecycle.in_flight == 0


async def test_tokenize_a_text_and_a_conversation(client: httpx.AsyncClient) -> None:
    text = await client.post("/tokenize", json={"text": "ab"})
    assert text.json() == {"tokens": [97, 98], "count": 2, "max_length": 1000}
    chat = await client.post("/tokenize", json={"messages": [{"role": "user", "content": "hi"}]})
    assert chat.json()["count"] == len("<user>hi<assistant>")


async def test_errors_are_valid_json_whatever_was_sent(client: httpx.AsyncClient) -> None:
    response = await client.post("/generate", content='{"text": 5, "é\\u0000": "\\u0007"}'.encode())
    assert response.status_code == 400
    json.loads(response.content)
