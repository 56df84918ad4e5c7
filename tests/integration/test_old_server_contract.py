"""The old server's clients keep working: its whole REST surface, asked of `hfmodel up` and of the router's app.

Where an answer is meant to differ, docs/migrating.md says so, and `DIFFERENCES` here asserts it.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.hub_server import HubRepo, HubServer
from support.old_server import GATED_REPO, Stand, router_in_its_place, up_in_its_place
from support.old_surface import AUTH, BOUNDS, CALLS, Call, misfits

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "migrating.md"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """`hfmodel up`, with a Hub that has the gated repo, and without a token."""
    folder = tmp_path_factory.mktemp("old")
    with ExitStack() as stack:
        hub = stack.enter_context(
            HubServer({GATED_REPO: HubRepo(files={"config.json": b"{}", "model.safetensors": b""}, gated=True)})
        )
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "", "API_KEY": ""}
        yield stack.enter_context(up_in_its_place(folder, environment))


@pytest.fixture(scope="module", params=["hfmodel up", "router app"])
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    if request.param == "hfmodel up":
        yield request.getfixturevalue("real")
        return
    with router_in_its_place(tmp_path_factory.mktemp("old")) as server:
        yield server


def ask(stand: Stand, line: str, body: Any = None) -> httpx.Response:
    method, path = line.split(" ")
    return stand.http.request(method, path, json=body)


def generate(stand: Stand, model_id: str = "gpt2-small", **fields: Any) -> dict[str, Any]:
    answer = ask(stand, f"POST /models/{model_id}/generate", {"text": "hello", **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_call_has_the_old_status_and_fields(stand: Stand, call: Call) -> None:
    answer = ask(stand, call.line, call.body)
    assert answer.status_code == call.status, answer.text
    assert list(misfits(answer.json(), call.shape)) == []


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_documentation_is_where_it_was(stand: Stand, path: str) -> None:
    assert stand.http.get(path).status_code == 200


@pytest.mark.parametrize("fields", BOUNDS, ids=str)
def test_every_field_of_generate_is_taken_up_to_its_old_bounds(stand: Stand, fields: Mapping[str, Any]) -> None:
    answer = generate(stand, **{"max_length": 20, **fields})
    used = answer["generation_params"]
    for name in fields.keys() - {"max_length", "temperature"}:
        assert used[name] == fields[name]
    assert used["max_length"] == min(fields.get("max_length", 20), stand.most_tokens("gpt2-small"))
    assert len(answer["generated_text"]) == len(answer["output_length"]) == fields.get("num_return_sequences", 1)


def test_what_generate_is_not_told_has_the_old_defaults(stand: Stand) -> None:
    used = generate(stand, "llama-instruct")["generation_params"]
    assert {name: used[name] for name in ("top_p", "top_k", "do_sample", "num_return_sequences", "temperature")} == {
        "top_p": 0.9,
        "top_k": 50,
        "do_sample": True,
        "num_return_sequences": 1,
        "temperature": 0.7,
    }
    assert used["max_length"] == min(100, stand.most_tokens("llama-instruct"))


def test_max_length_counts_the_prompt_which_the_text_includes(stand: Stand) -> None:
    answer = generate(stand, max_length=12)
    assert answer["generated_text"][0].startswith("hello")
    assert 0 < answer["input_length"] < answer["output_length"][0] <= 12
    assert (answer["model_id"], answer["model_name"]) == ("gpt2-small", "gpt2")


def test_a_transcript_comes_back_and_goes_on(stand: Stand) -> None:
    first = ask(stand, "POST /models/dialogpt-small/chat", {"message": "one", "max_length": 40}).json()
    body = {"message": "two", "context": first["context"]}
    second = ask(stand, "POST /models/dialogpt-small/chat", body).json()
    assert len(second["context"]) > len(first["context"])
    assert "one" in second["context"]


@pytest.mark.parametrize(
    ("call", "body", "model_id"),
    [("/generate", {"text": "hello"}, "gpt2-small"), ("/chat", {"message": "hello"}, "dialogpt-small")],
    ids=["generate", "chat"],
)
def test_a_call_without_an_id_goes_to_the_first_model_of_its_type(
    stand: Stand, call: str, body: Any, model_id: str
) -> None:
    assert ask(stand, f"POST {call}", body).json()["model_id"] == model_id


def test_models_come_in_the_order_of_the_file(stand: Stand) -> None:
    assert list(ask(stand, "GET /models").json())[:2] == ["gpt2-small", "dialogpt-small"]


def test_loading_is_seen_in_lists_and_info_and_unloading_too(stand: Stand) -> None:
    path = "/models/codegen-350m"
    assert ask(stand, f"POST {path}/load").json() == {
        "message": "Model codegen-350m loaded successfully",
        "model_id": "codegen-350m",
        "force_reload": False,
    }
    assert "codegen-350m" in ask(stand, "GET /models/loaded").json()["loaded_models"]
    assert "codegen-350m" in ask(stand, "GET /health").json()["loaded_models"]
    info = ask(stand, f"GET {path}/info").json()
    shape = {"total_parameters": int, "trainable_parameters": int, "estimated_size_mb": (int, float)}
    assert (info["loaded"], list(misfits(info["memory_usage"], shape))) == (True, [])
    assert ask(stand, f"POST {path}/unload").json()["message"] == "Model codegen-350m unloaded successfully"
    assert ask(stand, f"POST {path}/unload").json()["message"] == "Model codegen-350m was not loaded"
    assert ask(stand, f"GET {path}/info").json()["loaded"] is False


def test_all_models_are_unloaded_at_once(stand: Stand) -> None:
    for model_id in ("gpt2-small", "flan-t5-small"):
        ask(stand, f"POST /models/{model_id}/load")
    loaded = ask(stand, "GET /models/loaded").json()["loaded_models"]
    assert ask(stand, "POST /admin/unload-all").json()["unloaded_models"] == loaded
    assert {"gpt2-small", "flan-t5-small"} <= set(loaded)


def test_a_gated_model_says_where_to_ask_for_access(stand: Stand) -> None:
    info = ask(stand, "GET /models/llama-3.2-1b/info").json()
    assert info["access_url"] == f"https://huggingface.co/{GATED_REPO}"
    assert list(misfits(info["auth_status"], AUTH)) == []
    assert info["auth_status"]["gated_models"] == ["llama-3.2-1b"]


@dataclass(frozen=True, slots=True)
class Difference:
    """`title` is its row in docs/migrating.md; the answer has this status and these fields, or texts in them."""

    title: str
    call: Call
    contains: Mapping[str, Any]


GENERATE, CHAT = "POST /models/gpt2-small/generate", "POST /models/dialogpt-small/chat"
DIFFERENCES = [
    Difference(
        "a field is not valid",
        Call(GENERATE, {"text": 5}, 400),
        {"code": "invalid_request", "param": "text", "detail": "text: "},
    ),
    Difference("a field is missing", Call(CHAT, {}, 400), {"param": "message", "detail": "message: is required"}),
    Difference(
        "`temperature` above 2", Call(GENERATE, {"text": "x", "temperature": 2.5}, 400), {"param": "temperature"}
    ),
    Difference("a field is unknown", Call(GENERATE, {"text": "x", "colour": 1}, 400), {"param": "colour"}),
    Difference(
        "a number is sent as text", Call(GENERATE, {"text": "x", "max_length": "50"}, 400), {"param": "max_length"}
    ),
    Difference(
        "the prompt alone reaches `max_length`",
        Call(GENERATE, {"text": "hello hello", "max_length": 2}, 400),
        {"param": "max_length", "detail": "counts the prompt"},
    ),
    Difference(
        "`temperature` below 0.1",
        Call(GENERATE, {"text": "x", "temperature": 0}),
        {"generation_params": {"do_sample": False, "temperature": 0.0}},
    ),
    Difference("`max_length` above 4096", Call(GENERATE, {"text": "x", "max_length": 5000}), {"generated_text": ["x"]}),
    Difference(
        "`top_p` below 0.1", Call(GENERATE, {"text": "x", "top_p": 0.01}), {"generation_params": {"top_p": 0.01}}
    ),
    Difference("`top_k` above 100", Call(GENERATE, {"text": "x", "top_k": 500}), {"generation_params": {"top_k": 500}}),
    Difference(
        "more than 5 sequences",
        Call(GENERATE, {"text": "x", "num_return_sequences": 6}),
        {"generation_params": {"num_return_sequences": 6}},
    ),
    Difference(
        "`/generate` without `temperature`",
        Call(GENERATE, {"text": "x"}),
        {"generation_params": {"temperature": 0.8}},
    ),
    Difference(
        "`do_sample: false`",
        Call(GENERATE, {"text": "x", "do_sample": False, "temperature": 1.5}),
        {"generation_params": {"temperature": 0.0}},
    ),
    Difference(
        "an `instruction` model that is no T5",
        Call("POST /models/llama-instruct/generate", {"text": "hello"}),
        {"generated_text": ["hello"]},
    ),
    Difference(
        "chat with a model of another type", Call("POST /models/gpt2-small/chat", {"message": "hi"}), {"context": None}
    ),
    Difference(
        "chat with a model of more than 4096 tokens", Call(CHAT, {"message": "hi"}), {"model_id": "dialogpt-small"}
    ),
    Difference(
        "a `context` of the old server",
        Call(CHAT, {"message": "hi", "context": "Human: hi"}, 400),
        {"param": "context", "detail": "context is not a transcript"},
    ),
    Difference("`GET /models/gated`", Call("GET /models/gated"), {"gated_models": ["llama-3.2-1b"]}),
    Difference("a folder as `name`", Call("GET /models/codegen-350m/info"), {"name": "codegen"}),
    Difference("`/admin/clear-gpu-memory`", Call("POST /admin/clear-gpu-memory"), {"message": "nothing to clear"}),
]


def has(found: Any, wanted: Any) -> bool:
    match wanted:
        case dict():
            return all(key in found and has(found[key], value) for key, value in wanted.items())
        case [text]:
            return has(found[0], text)
        case str():
            return wanted in found
        case _:
            return bool(found == wanted)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.title)
def test_a_difference_is_as_the_guide_has_it(stand: Stand, difference: Difference) -> None:
    answer = ask(stand, difference.call.line, difference.call.body)
    assert answer.status_code == difference.call.status, answer.text
    assert has(answer.json(), difference.contains), answer.text


def test_text_that_is_no_json_is_a_400(stand: Stand) -> None:
    answer = stand.http.post("/models/gpt2-small/generate", content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_gated_model_without_a_token_names_the_variable_and_the_page(real: Stand) -> None:
    answer = ask(real, "POST /models/llama-3.2-1b/generate", {"text": "hello"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "GatedNoToken")
    assert "HF_TOKEN" in answer.json()["detail"]
    assert f"https://huggingface.co/{GATED_REPO}" in answer.json()["detail"]


ELSEWHERE = ["a gated model without a token", "the key in the URL", "`token_preview`", "`CORS_ORIGINS=*`"]


def test_the_guide_lists_exactly_these_differences() -> None:
    section = GUIDE.read_text().partition("## Where an answer differs")[2].partition("\n## ")[0]
    titles = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    assert titles[0] == "what"
    assert sorted(titles[2:]) == sorted([difference.title for difference in DIFFERENCES] + ELSEWHERE)
