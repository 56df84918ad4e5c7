"""GGUF files and pickles become safetensors, once, and the model says the same as before."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from huggingface_hub import close_session
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import Fetched, FetchFailure, FetchRequest, Progress, Stage, fetch
from hfmodel_runtime.fetch.convert import convert
from hfmodel_runtime.fetch.gguf_header import gguf_elements
from hfmodel_runtime.fetch.selection import SourceFile, select
from support.hub_server import HubRepo, HubServer
from support.tiny_weights import CHAT_TEMPLATE, TOKENS, greedy, logits, tiny_gpt2, tiny_llama, write_gguf

pytestmark = pytest.mark.slow


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def llama() -> Any:
    return tiny_llama()


@pytest.fixture(scope="module")
def llama_gguf(llama: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "Tiny llama.Q8_0.gguf"
    write_gguf(llama, path)
    return path


@pytest.fixture(scope="module")
def gpt2() -> Any:
    return tiny_gpt2()


@pytest.fixture
def connections() -> Iterator[None]:
    yield
    close_session()


def get(cache: Path, path: Path, **options: Any) -> Fetched:
    return fetch(FetchRequest(cache_dir=cache, path=path, **options), progress=lambda _: None)


def failure(cache: Path, path: Path, **options: Any) -> FetchFailure:
    with pytest.raises(FetchFailure) as raised:
        get(cache, path, **options)
    assert list(cache.glob("models/*/*")) == []
    assert list(cache.glob("staging/*/*")) == []
    return raised.value


def loaded(directory: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(directory), use_safetensors=True).eval()


def assert_same_answers(model: Any, original: Any) -> None:
    torch.testing.assert_close(logits(model), logits(original))
    assert greedy(model) == greedy(original)


def write_pickle(model: Any, directory: Path, *, shards: int = 1, **save: Any) -> None:
    directory.mkdir(exist_ok=True)
    model.config.save_pretrained(str(directory))
    state = model.state_dict()
    if shards == 1:
        torch.save(state, directory / "pytorch_model.bin", **save)
        return
    weight_map: dict[str, str] = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        part = {key: state[key] for key in list(state)[number::shards]}
        torch.save(part, directory / name, **save)
        weight_map |= dict.fromkeys(part, name)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_gguf_file_says_the_same_after_conversion(cache: Path, llama: Any, llama_gguf: Path) -> None:
    seen: list[Progress] = []
    fetched = fetch(FetchRequest(cache_dir=cache, path=llama_gguf), progress=seen.append)
    assert_same_answers(loaded(fetched.path), llama)
    assert fetched.revision is None
    assert fetched.path.parent == cache / "models" / "local--Tiny-llama.Q8_0"
    assert [item.stage for item in seen][-1] is Stage.CONVERT


def test_the_header_of_a_gguf_file_tells_how_large_its_conversion_is(cache: Path, llama_gguf: Path) -> None:
    elements = gguf_elements([llama_gguf.read_bytes()])
    assert elements == sum(int(tensor.n_elements) for tensor in GGUFReader(llama_gguf).tensors)
    written = (get(cache, llama_gguf).path / "model.safetensors").stat().st_size
    assert 0 <= written - 4 * elements < 10_000, "a header comes on top"


def test_a_gguf_file_brings_its_tokenizer_and_chat_template(cache: Path, llama_gguf: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(get(cache, llama_gguf).path))
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer.eos_token == TOKENS[-1]
    assert tokenizer.decode(tokenizer("the path")["input_ids"]) == "the path"


def test_a_conversion_is_made_once_per_content(
    cache: Path, llama_gguf: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = get(cache, llama_gguf)
    elsewhere = tmp_path / llama_gguf.name
    shutil.copyfile(llama_gguf, elsewhere)
    assert get(cache, elsewhere) == get(cache, llama_gguf) == first
    assert caplog.text.count("converting") == 1


def test_a_changed_file_is_another_conversion(cache: Path, llama: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(llama, path)
    first = get(cache, path)
    with torch.no_grad():
        changed = tiny_llama()
        changed.lm_head.weight.mul_(-1)
    write_gguf(changed, path)
    second = get(cache, path)
    assert first.path != second.path
    assert_same_answers(loaded(second.path), changed)


def test_published_files_are_readable_as_the_umask_says(cache: Path, llama_gguf: Path) -> None:
    mask = os.umask(0o022)
    try:
        path = get(cache, llama_gguf).path
    finally:
        os.umask(mask)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o644}
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("shards", "save"),
    [
        pytest.param(1, {}, id="one-file"),
        pytest.param(3, {}, id="shards"),
        pytest.param(1, {"_use_new_zipfile_serialization": False}, id="before-torch-1.6"),
    ],
)
def test_a_pickle_says_the_same_after_conversion(
    cache: Path, gpt2: Any, tmp_path: Path, shards: int, save: dict[str, Any]
) -> None:
    source = tmp_path / "source"
    write_pickle(gpt2, source, shards=shards, **save)
    fetched = get(cache, source)
    assert_same_answers(loaded(fetched.path), gpt2)
    assert [path for path in fetched.path.iterdir() if path.suffix == ".bin"] == []


class _NotATensor:
    """Something that torch does not load unless it may run code."""


def test_a_pickle_with_more_than_tensors_needs_permission(cache: Path, gpt2: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_pickle(gpt2, source)
    torch.save({**gpt2.state_dict(), "extra": _NotATensor()}, source / "pytorch_model.bin")
    found = failure(cache, source).failure
    assert found.reason is Reason.NO_USABLE_WEIGHTS
    assert "allowPickle" in found.message
    assert_same_answers(loaded(get(cache, source, allow_pickle=True).path), gpt2)


def _without_a_tensor(model: Any, path: Path) -> None:
    write_gguf(model, path, skip="blk.1.ffn_up.weight")


def _truncated(model: Any, path: Path) -> None:
    write_gguf(model, path)
    path.write_bytes(path.read_bytes()[:-1000])


def _noise(_model: Any, path: Path) -> None:
    path.write_bytes(b"no model" * 100)


@pytest.mark.parametrize("write", [_without_a_tensor, _truncated, _noise])
def test_a_broken_gguf_file_is_refused_and_leaves_nothing(cache: Path, llama: Any, tmp_path: Path, write: Any) -> None:
    path = tmp_path / "broken.gguf"
    write(llama, path)
    found = failure(cache, path).failure
    assert (found.reason, found.retryable) == (Reason.WEIGHTS_INVALID, False)
    assert path.name in found.message


def test_an_architecture_that_cannot_be_converted_is_named(cache: Path, tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_tensor("a", torch.zeros(4).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = failure(cache, path).failure
    assert found.reason is Reason.ARCHITECTURE_NOT_SUPPORTED
    assert "clip" in found.message


@pytest.mark.parametrize("made_anew", [False, True], ids=["gone", "made-anew"])
def test_a_conversion_that_another_one_takes_away_is_never_half_a_model(
    cache: Path, gpt2: Any, tmp_path: Path, *, made_anew: bool
) -> None:
    source = tmp_path / "source"
    write_pickle(gpt2, source)
    (source / "tokenizer.json").write_text("{}")
    files = [SourceFile(path=path.name, size=path.stat().st_size) for path in source.iterdir()]
    selection = select(files, model="m")

    def another(directory: Path, **_: object) -> None:
        # As one that runs at the same time does where the volume has no locks.
        convert(selection, source, cache, allow_pickle=False)
        if made_anew:
            directory.mkdir()
            shutil.copy(source / "config.json", directory)

    with pytest.raises((FileNotFoundError, SafetensorError)):
        convert(selection, source, cache, allow_pickle=False, ensure=another)
    (whole,) = cache.iterdir()
    assert {path.name for path in whole.iterdir()} >= {"config.json", "tokenizer.json", "model.safetensors"}


def test_a_broken_pickle_is_refused_and_leaves_nothing(cache: Path, gpt2: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_pickle(gpt2, source)
    weights = source / "pytorch_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert failure(cache, source).failure.reason is Reason.WEIGHTS_INVALID


@pytest.mark.usefixtures("connections")
def test_a_repository_with_gguf_files_alone_is_converted_from_the_best_one(
    cache: Path, llama: Any, llama_gguf: Path
) -> None:
    files = {f"tiny.{kind}.gguf": b"unused" for kind in ("Q2_K", "Q4_K_M", "F16", "F32")}
    repo = HubRepo(files={**files, "tiny.Q8_0.gguf": llama_gguf.read_bytes(), "README.md": b"#"})
    with HubServer({"org/tiny": repo}) as hub:
        fetched = fetch(FetchRequest(cache_dir=cache, model="org/tiny", endpoint=hub.url), progress=lambda _: None)
        assert {seen.path.rpartition("/")[2] for seen in hub.gets(".gguf")} == {"tiny.Q8_0.gguf"}
    assert fetched.revision == repo.commit
    assert_same_answers(loaded(fetched.path), llama)
    assert list((cache / "staging").iterdir()) == []


@pytest.mark.usefixtures("connections")
def test_a_repository_with_pickles_alone_is_converted(cache: Path, gpt2: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_pickle(gpt2, source, shards=2)
    repo = HubRepo(files={path.name: path.read_bytes() for path in source.iterdir()})
    with HubServer({"org/tiny": repo}) as hub:
        fetched = fetch(FetchRequest(cache_dir=cache, model="org/tiny", endpoint=hub.url), progress=lambda _: None)
    assert_same_answers(loaded(fetched.path), gpt2)


def test_smollm2_from_its_gguf_file_knows_the_capital_of_france(smollm2_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(smollm2_dir))
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = loaded(smollm2_dir).generate(**inputs, do_sample=False, max_new_tokens=12)
    answer = tokenizer.decode(output[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer == "The capital of France is Paris."
