"""What callers get wrong, sent through the router to a real runtime: a clear error each, and nobody else is harmed."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = pytest.mark.slow

GENERATE = "/models/smollm2/generate"
COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Case:
    path: str
    body: bytes
    status: int
    says: tuple[str, ...]


def _json(path: str, status: int, *says: str, **fields: object) -> Case:
    body: dict[str, object] = {"model": "smollm2"} if path.startswith("/v1") else {}
    return Case(path, json.dumps(body | fields).encode(), status, says)


HELLO = [{"role": "user", "content": "hello"}]
CASES = {
    "unknown id in the path": _json("/models/nobody/generate", 404, "nobody", text="x"),
    "unknown id in the body": _json(COMPLETIONS, 404, "nobody", model="nobody", prompt="x"),
    "no model in the body": Case(COMPLETIONS, b'{"prompt": "x"}', 400, ("model",)),
    "empty chat": _json(CHAT, 400, "messages", messages=[]),
    "prompt longer than the model": _json(COMPLETIONS, 400, "8192", prompt="word " * 9000),
    "answer longer than the model": _json(COMPLETIONS, 400, "8192", prompt="x", max_tokens=9000),
    "temperature 5": _json(GENERATE, 400, "temperature", "2", text="x", temperature=5),
    "temperature hot": _json(GENERATE, 400, "temperature", text="x", temperature="hot"),
    "temperature NaN": Case(GENERATE, b'{"text": "x", "temperature": NaN}', 400, ("temperature", "finite")),
    "max_tokens 0": _json(COMPLETIONS, 400, "max_tokens", "1", prompt="x", max_tokens=0),
    "max_tokens 10^9": _json(COMPLETIONS, 400, "max_tokens", prompt="x", max_tokens=10**9),
    "invalid JSON": Case(GENERATE, b'{"text": ', 400, ("JSON",)),
    "invalid UTF-8": Case(GENERATE, b'{"text": "\xff\xfe"}', 400, ("JSON",)),
    "not an object": Case(GENERATE, b"[1]", 400, ("object",)),
    "unknown field": _json(GENERATE, 400, "max_lenght", text="x", max_lenght=3),
    "tools": _json(CHAT, 400, "tools", "not supported", messages=HELLO, tools=[{"type": "function"}]),
    "response_format": _json(CHAT, 400, "response_format", messages=HELLO, response_format={"type": "json_object"}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_in_words(smollm2_url: str, case: Case) -> None:
    response = httpx.post(
        smollm2_url + case.path, content=case.body, headers={"content-type": "application/json"}, timeout=60
    )
    assert response.status_code == case.status, response.text
    body = response.json()
    message = body["error"]["message"] if case.path.startswith("/v1") else body["detail"]
    assert all(word in message for word in case.says), message
    assert "Traceback" not in response.text


def test_a_body_of_50_megabytes_is_refused_without_being_read_whole(smollm2_url: str) -> None:
    address = urlsplit(smollm2_url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.putrequest("POST", GENERATE)
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(50 * 2**20))
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == 413
        assert "bytes" in json.loads(response.read())["detail"]
    finally:
        connection.close()


def test_an_empty_prompt_starts_from_the_models_first_token(smollm2_url: str) -> None:
    response = httpx.post(smollm2_url + GENERATE, json={"text": "", "max_new_tokens": 2}, timeout=60)
    assert response.status_code == 200, response.text


def test_the_model_still_answers_after_all_that(smollm2_url: str) -> None:
    body = {"text": "The capital of France is", "max_new_tokens": 4, "do_sample": False}
    response = httpx.post(smollm2_url + GENERATE, json=body, timeout=60)
    assert "Paris" in response.json()["generated_text"][0]
