"""One real serving process with real weights: what a pod's container does, seen through its port."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from hfmodel_api.names import HEADER_REFUSED
from hfmodel_api.status import Reason
from hfmodel_api.wire import Activity, Failure, RuntimeInfo
from support.runtime_process import PATIENCE, RuntimeProcess, serving
from support.tiny_models import make_tiny_model

pytestmark = pytest.mark.slow

REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
OPTIONS = ("--model", REPO, "--type", "conversational")
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def runtime(smollm2_dir: Path) -> Iterator[RuntimeProcess]:
    with serving(smollm2_dir, *OPTIONS) as process:
        process.until_ready()
        yield process


@pytest.fixture(scope="module")
def http(runtime: RuntimeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=runtime.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def client(runtime: RuntimeProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{runtime.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def _activity(http: httpx.Client) -> Activity:
    return Activity.model_validate_json(http.get("/activity").content)


def test_the_port_is_open_before_the_model_is_there_and_sigterm_drains(smollm2_dir: Path) -> None:
    with serving(smollm2_dir, *OPTIONS) as process, httpx.Client(base_url=process.url, timeout=PATIENCE) as http:
        assert http.get("/readyz").json() == {"status": "loading"}
        refused = http.post("/generate", json={"text": "x"})
        assert (refused.status_code, refused.headers[HEADER_REFUSED]) == (503, "loading")
        process.until_ready()
        call = {"text": "Once upon a time", "max_new_tokens": 48, "ignore_eos": True, "stream": True}
        with http.stream("POST", "/generate", json=call) as response:
            lines = response.iter_lines()
            next(lines)
            process.popen.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["output_length"] == [4 + 48]
        assert process.wait() == 0
        assert " stopped" in process.log[-1]


def test_a_model_that_cannot_be_loaded_says_why_in_three_places(tmp_path: Path) -> None:
    empty, termination_log = tmp_path / "empty", tmp_path / "termination-log"
    empty.mkdir()
    with serving(empty, env={"HFMODEL_TERMINATION_LOG": str(termination_log)}) as process:
        assert process.wait() == 1
    failure = Failure.model_validate_json(termination_log.read_text())
    assert failure.reason is Reason.CONFIG_INVALID
    assert Failure.model_validate_json(process.log[-1]) == failure
    assert failure.message in process.log[-2]
    assert not any("Traceback" in line for line in process.log)


@pytest.mark.parametrize("told", [{}, {"LD_PRELOAD": ""}], ids=["nothing", "the system's"])
def test_it_takes_tcmalloc_where_it_is_unless_told_otherwise(tmp_path: Path, told: dict[str, str]) -> None:
    installed = any(Path("/usr/lib").glob("**/libtcmalloc_minimal.so.4"))
    with serving(make_tiny_model("llama", tmp_path / "tiny"), env=told) as process:
        process.until_ready()
    (ready,) = (line for line in process.log if " ready " in line)
    assert f" allocator={'tcmalloc' if installed and not told else 'system'} " in ready


def test_it_describes_what_it_serves(http: httpx.Client) -> None:
    info = RuntimeInfo.model_validate_json(http.get("/info").content)
    assert (info.model_id, info.model, info.architecture) == ("m", REPO, "LlamaForCausalLM")
    assert (info.max_length, info.chat_format, info.seq2seq) == (8192, "template", False)
    assert info.memory_usage.total_parameters == 134_515_008


def test_generate_goes_on_with_the_prompt(http: httpx.Client) -> None:
    call = {"text": "The capital of France is", "max_new_tokens": 4, "do_sample": False, "num_return_sequences": 2}
    answer = http.post("/generate", json=call).json()
    assert [text.startswith("The capital of France is Paris") for text in answer["generated_text"]] == [True, True]
    assert answer["input_length"] == 5
    assert answer["output_length"] == [9, 9]


def test_chat_answers_and_remembers(http: httpx.Client) -> None:
    call = {"message": "What is the capital of France?", "do_sample": False, "max_new_tokens": 16}
    first = http.post("/chat", json=call).json()
    assert "Paris" in first["response"]
    assert "France?" not in first["response"]
    longer = http.post("/chat", json=call | {"context": first["context"]})
    assert len(json.loads(longer.json()["context"])) == 4


def test_openai_completion_is_greedy_at_temperature_0(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="m", prompt="The capital of France is", temperature=0, max_tokens=4, logprobs=2
    )
    choice = answer.choices[0]
    assert "Paris" in choice.text
    assert choice.finish_reason == "length"
    assert choice.logprobs is not None
    assert "".join(choice.logprobs.tokens or []) == choice.text
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 4)


def test_openai_chat_streams_the_same_text_with_its_usage(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=REPO, messages=QUESTION, temperature=0, max_tokens=16)
    chunks = list(
        client.chat.completions.create(
            model=REPO,
            messages=QUESTION,
            temperature=0,
            max_tokens=16,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "Paris" in text
    assert text == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage


def test_a_seed_repeats_and_choices_differ(client: openai.OpenAI) -> None:
    def ask() -> list[str]:
        answer = client.completions.create(
            model="m", prompt="My favourite word is", max_tokens=8, temperature=1.5, seed=11, n=2
        )
        return [choice.text for choice in answer.choices]

    first = ask()
    assert first == ask()
    assert first[0] != first[1]


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="m", prompt="The capital of France is", temperature=0, max_tokens=16, stop="Paris"
    )
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (" ", "stop")


@pytest.mark.parametrize("fields", [{"prompt": [10**6]}, {"logit_bias": {"1000000": 1}}], ids=["prompt", "logit_bias"])
def test_a_token_the_model_does_not_have_harms_nobody(http: httpx.Client, fields: dict[str, object]) -> None:
    response = http.post("/v1/completions", json={"model": "m", "prompt": "x", **fields})
    assert response.status_code == 400
    assert "1000000" in response.json()["error"]["message"]


def test_hanging_up_stops_the_work_while_health_still_answers(http: httpx.Client) -> None:
    endless = {"text": "Once upon a time", "max_new_tokens": 8000, "ignore_eos": True, "stream": True}
    with http.stream("POST", "/generate", json=endless) as response:
        lines = response.iter_lines()
        next(lines)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert http.get(path).status_code == 200
        assert _activity(http).running == 1
    while _activity(http).busy:
        pass
    assert http.post("/retire", json={"idle_for_seconds": 3600}).status_code == 409


def test_callers_at_once_each_get_their_own_answer(http: httpx.Client) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        call = {"text": f"{number}, {number + 1}, {number + 2},", "max_new_tokens": 3, "do_sample": False}
        answers[number] = http.post("/generate", json=call).json()["generated_text"][0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20, 28)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[number].startswith(f"{number}, {number + 1}, {number + 2}, ") for number in range(20, 28))
