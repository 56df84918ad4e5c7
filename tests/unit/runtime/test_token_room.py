"""How many tokens an answer may have, for each call, and what is refused."""

from typing import Any

import pytest

from hfmodel_api.errors import InvalidRequest
from hfmodel_api.requests import ChatCompletionRequest, ChatRequest, CompletionRequest, GenerateRequest
from hfmodel_runtime.server.sampling import (
    Room,
    chat_tokens,
    generate_tokens,
    native_sampling,
    openai_sampling,
    openai_tokens,
)


def _room(prompt: int, *, limit: int = 1000, seq2seq: bool = False) -> Room:
    return Room(limit=limit, prompt=prompt, seq2seq=seq2seq)


GENERATE = {
    "100 with the prompt by default": ({}, _room(30), 70),
    "up to 100 beside a longer prompt": ({}, _room(100), 100),
    "but no more than fits": ({}, _room(960), 40),
    "max_length counts the prompt": ({"max_length": 50}, _room(30), 20),
    "max_length is capped by the model's": ({"max_length": 4096}, _room(30), 970),
    "max_new_tokens does not count it": ({"max_new_tokens": 50}, _room(30), 50),
    "max_new_tokens is capped": ({"max_new_tokens": 5000}, _room(30), 970),
    "max_new_tokens wins": ({"max_new_tokens": 5, "max_length": 10}, _room(30), 5),
    "max_tokens is a synonym": ({"max_tokens": 6}, _room(30), 6),
    "seq2seq: 100 by default": ({}, _room(90, seq2seq=True), 100),
    "seq2seq: max_length counts the answer": ({"max_length": 20}, _room(90, seq2seq=True), 20),
    "seq2seq: capped": ({"max_length": 2000}, _room(90, limit=512, seq2seq=True), 512),
}


@pytest.mark.parametrize(("fields", "room", "expected"), GENERATE.values(), ids=GENERATE.keys())
def test_generate(fields: dict[str, Any], room: Room, expected: int) -> None:
    assert generate_tokens(GenerateRequest(text="x", **fields), room) == expected


@pytest.mark.parametrize("max_length", [29, 30])
def test_a_max_length_that_the_prompt_uses_up_is_refused_with_both_numbers(max_length: int) -> None:
    with pytest.raises(InvalidRequest, match=f"max_length {max_length} .* 30 tokens") as refusal:
        generate_tokens(GenerateRequest(text="x", max_length=max_length), _room(30))
    assert refusal.value.param == "max_length"


CHAT = {
    "all the room by default": ({}, 970),
    "capped, not refused": ({"max_length": 8192}, 970),
    "max_length counts the transcript": ({"max_length": 40}, 10),
    "max_new_tokens": ({"max_new_tokens": 7}, 7),
}


@pytest.mark.parametrize(("fields", "expected"), CHAT.values(), ids=CHAT.keys())
def test_chat(fields: dict[str, Any], expected: int) -> None:
    assert chat_tokens(ChatRequest(message="x", **fields), _room(30)) == expected


def _completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest(model="m", prompt="x", **fields)


def _chat_completion(**fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    )


OPENAI = {
    "completions: 16 by default": (_completion(), _room(30), 16),
    "completions: less where less fits": (_completion(), _room(990), 10),
    "completions: as asked": (_completion(max_tokens=970), _room(30), 970),
    "chat: all the room by default": (_chat_completion(), _room(30), 970),
    "chat: as asked": (_chat_completion(max_tokens=5), _room(30), 5),
    "chat: the newer name wins": (_chat_completion(max_tokens=5, max_completion_tokens=6), _room(30), 6),
}


@pytest.mark.parametrize(("call", "room", "expected"), OPENAI.values(), ids=OPENAI.keys())
def test_openai(call: CompletionRequest | ChatCompletionRequest, room: Room, expected: int) -> None:
    assert openai_tokens(call, room) == expected


@pytest.mark.parametrize("call", [_completion(max_tokens=971), _chat_completion(max_tokens=971)])
def test_openai_asking_for_more_than_fits_is_refused_with_the_numbers(
    call: CompletionRequest | ChatCompletionRequest,
) -> None:
    with pytest.raises(InvalidRequest, match=r"971 .* 1000 in all, 30 ") as refusal:
        openai_tokens(call, _room(30))
    assert refusal.value.param == "max_tokens"


def test_native_sampling_defaults_to_the_models_suggestion() -> None:
    sampling = native_sampling(GenerateRequest(text="x"), tokens=9, temperature=0.3)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens) == (0.3, 0.9, 50, 9)


def test_native_sampling_without_do_sample_is_greedy_whatever_the_temperature() -> None:
    call = GenerateRequest(text="x", do_sample=False, temperature=1.5)
    assert native_sampling(call, tokens=9, temperature=0.3).greedy


def test_openai_sampling_defaults_to_the_models_suggestion_and_no_filters() -> None:
    sampling = openai_sampling(_completion(), tokens=9, temperature=0.3)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.logprobs) == (0.3, 1.0, 0, None)


def test_every_sampling_field_arrives() -> None:
    call = _completion(
        temperature=0.5,
        top_p=0.6,
        top_k=7,
        min_p=0.1,
        repetition_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        seed=4,
        stop=["a", "b"],
        ignore_eos=True,
        min_tokens=2,
        logit_bias={"5": -100},
        logprobs=3,
    )
    sampling = openai_sampling(call, tokens=9, temperature=1.0, stop=("c",))
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.6, 7, 0.1)
    assert (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty) == (1.1, 0.2, 0.3)
    assert (sampling.seed, sampling.stop, sampling.ignore_eos) == (4, ("a", "b", "c"), True)
    assert (sampling.min_new_tokens, sampling.logit_bias, sampling.logprobs) == (2, ((5, -100.0),), 3)


@pytest.mark.parametrize(
    ("fields", "expected"), [({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 4}, 4), ({}, None)]
)
def test_chat_logprobs_without_top_ask_for_the_chosen_token_only(fields: dict[str, Any], expected: int | None) -> None:
    assert openai_sampling(_chat_completion(**fields), tokens=9, temperature=1.0).logprobs == expected


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_off_has_two_spellings(top_k: int) -> None:
    assert native_sampling(GenerateRequest(text="x", top_k=top_k), tokens=9, temperature=1.0).top_k == 0


def test_more_least_tokens_than_room_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="min_tokens 10 is more than the 9"):
        native_sampling(GenerateRequest(text="x", min_tokens=10), tokens=9, temperature=1.0)
