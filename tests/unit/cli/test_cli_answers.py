"""generate and chat, asked once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from support.scripted_router import Answer, ScriptedRouter, said, sse, stream

Hfmodel = Callable[..., Result]

COMPLETIONS = "POST /v1/completions"
CHAT = "POST /v1/chat/completions"


def texts(*pieces: str) -> list[dict[str, Any]]:
    return [{"choices": [{"text": text}]} for text in pieces]


def test_generate_prints_the_answer_as_it_comes(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on(COMPLETIONS, stream(*texts(" Paris", ",", ""), {"choices": [], "usage": {}}))
    result = hfmodel("generate", "smol", "The capital of France is")
    assert (result.exit_code, result.stdout, result.stderr) == (0, " Paris,\n", "")
    assert router.asked[0].body == {
        "model": "smol",
        "prompt": "The capital of France is",
        "max_tokens": 100,
        "stream": True,
    }


def test_options_become_fields(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on(COMPLETIONS, Answer({"choices": [{"text": "x"}]}))
    options = "--max-tokens 5 --temperature 0 --top-p 0.5 --seed -1 --stop a --stop b --no-stream --timeout 2.5"
    assert hfmodel("generate", "smol", "p", *options.split()).stdout == "x\n"
    assert router.asked[0].body == {
        "model": "smol",
        "prompt": "p",
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "seed": -1,
        "stop": ["a", "b"],
    }
    assert router.asked[0].headers["x-hfmodel-hold-timeout"] == "2.5"


@pytest.mark.parametrize("arguments", [["-"], []], ids=["dash", "pipe"])
@pytest.mark.parametrize(
    ("stdin", "prompt"), [("two\nlines\n", "two\nlines"), ("x\r\n", "x"), ("ü", "ü"), ("\n\n", "\n")]
)
def test_the_prompt_may_come_from_a_pipe(
    router: ScriptedRouter, hfmodel: Hfmodel, arguments: list[str], stdin: str, prompt: str
) -> None:
    router.on(COMPLETIONS, stream(*texts("ok\n")))
    assert hfmodel("generate", "smol", *arguments, stdin=stdin).stdout == "ok\n"
    assert router.asked[0].body["prompt"] == prompt


def test_a_pipe_that_is_no_text_is_wrong_usage(hfmodel: Hfmodel) -> None:
    assert hfmodel("generate", "smol", stdin=b"\xff").exit_code == 2


def test_json_is_the_whole_answer(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    answer = {"id": "cmpl-1", "choices": [{"text": "ü", "finish_reason": "stop"}], "usage": {"total_tokens": 3}}
    router.on(COMPLETIONS, Answer(answer))
    result = hfmodel("generate", "smol", "p", "--json")
    assert json.loads(result.stdout) == answer
    assert "stream" not in router.asked[0].body


def test_json_and_stream_is_a_line_for_each_event(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    events = texts("a", "b")
    router.on(COMPLETIONS, stream(*events))
    result = hfmodel("generate", "smol", "p", "--json", "--stream")
    assert [json.loads(line) for line in result.stdout.splitlines()] == events


def test_chat_sends_messages(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    first: dict[str, Any] = {"choices": [{"delta": {"role": "assistant", "content": None}}]}
    router.on(CHAT, stream(first, *said("Hi", "!"), {"choices": [{"delta": {}, "finish_reason": "stop"}]}))
    result = hfmodel("chat", "smol", "Hello", "--system", "Be kind")
    assert (result.exit_code, result.stdout) == (0, "Hi!\n")
    assert router.asked[0].body["messages"] == [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Hello"},
    ]
    assert "max_tokens" not in router.asked[0].body


def test_chat_reads_its_message_from_a_pipe(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on(CHAT, Answer({"choices": [{"message": {"content": "Hi"}}]}))
    assert hfmodel("chat", "smol", "--no-stream", stdin="Hello\n").stdout == "Hi\n"
    assert router.asked[0].body["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("chunks", "stdout", "error"),
    [
        pytest.param(
            (sse({"choices": [{"text": "a"}]}), sse({"error": {"message": "the engine broke"}})),
            "a",
            "the engine broke",
            id="error in the stream",
        ),
        pytest.param((sse({"choices": [{"text": "a"}]}),), "a", "the answer was cut off", id="no end mark"),
        pytest.param((b"data: {\n\n",), "", "an event that is not JSON", id="not JSON"),
        pytest.param((b"data: []\n\n",), "", "an event that is not an object", id="not an object"),
    ],
)
def test_a_stream_that_goes_wrong_is_never_a_silent_end(
    router: ScriptedRouter, hfmodel: Hfmodel, chunks: tuple[bytes, ...], stdout: str, error: str
) -> None:
    router.on(COMPLETIONS, Answer(chunks=chunks))
    result = hfmodel("generate", "smol", "p")
    assert (result.exit_code, result.stdout.rstrip("\n")) == (1, stdout)
    assert error in result.stderr


def test_a_refused_stream_tells_the_servers_reason(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    router.on(COMPLETIONS, Answer({"error": {"message": "gated: no token"}}, status=503, headers={"retry-after": "9"}))
    result = hfmodel("generate", "smol", "p")
    assert (result.exit_code, result.stderr) == (1, "Error: gated: no token (try again in 9 s)\n")


def test_heartbeats_and_odd_cuts_and_line_separators_change_nothing(router: ScriptedRouter, hfmodel: Hfmodel) -> None:
    text = "a\u2028b\x85c\u00fc\x0bd"
    data = b": waiting\n\n" + sse({"choices": [{"text": text}]}).replace(b"\n", b"\r\n") + b"data:[DONE]\n\n"
    router.on(COMPLETIONS, Answer(chunks=tuple(data[at : at + 1] for at in range(len(data)))))
    result = hfmodel("generate", "smol", "p")
    assert (result.exit_code, result.stdout) == (0, f"{text}\n")


@pytest.mark.parametrize(
    "option", [["--max-tokens", "0"], ["--temperature", "3"], ["--top-p", "0"], ["--seed", "x"], ["--timeout", "-1"]]
)
def test_options_out_of_range_are_wrong_usage(router: ScriptedRouter, hfmodel: Hfmodel, option: list[str]) -> None:
    assert hfmodel("generate", "smol", "p", *option).exit_code == 2
    assert router.asked == []
