import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM

from hfmodel_api.status import Reason
from hfmodel_runtime.engine import loader
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.protocol import LoadOptions, Sampling
from support.engine_calls import generate
from support.machines import FakeMachine

TinyModel = Callable[[str], Path]
Spoil = Callable[[Path], object]


@pytest.fixture
def copy(tiny_model: TinyModel, tmp_path: Path) -> Callable[[str], Path]:
    """A tiny model whose files a test may spoil."""
    return lambda architecture: Path(shutil.copytree(tiny_model(architecture), tmp_path / architecture))


def _options(directory: Path, **other: Any) -> LoadOptions:
    return LoadOptions(path=str(directory), model_id="tiny", threads=1, **other)


def _edit(directory: Path, name: str = "config.json", **changes: Any) -> None:
    path = directory / name
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _truncate(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _drop_weight(directory: Path, name: str = "model.layers.1.mlp.up_proj.weight") -> None:
    path = directory / "model.safetensors"
    weights = load_file(path)
    del weights[name]
    save_file(weights, path, metadata={"format": "pt"})


def _reshape_weight(directory: Path) -> None:
    path = directory / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = torch.zeros(7)
    save_file(weights, path, metadata={"format": "pt"})


def _shard_missing(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def _only_pickle(directory: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def _no_tokenizer(directory: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (directory / name).unlink()


_REMOTE = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}


@pytest.mark.parametrize(
    ("spoil", "reason", "words"),
    [
        pytest.param(shutil.rmtree, Reason.CONFIG_INVALID, "not a directory", id="no-directory"),
        pytest.param(
            lambda d: (d / "config.json").unlink(), Reason.CONFIG_INVALID, "no config.json", id="config-missing"
        ),
        pytest.param(
            lambda d: (d / "config.json").write_text("{"), Reason.CONFIG_INVALID, "config.json", id="config-not-json"
        ),
        pytest.param(
            lambda d: (d / "config.json").write_text("[]"), Reason.CONFIG_INVALID, "object", id="config-not-an-object"
        ),
        pytest.param(lambda d: _edit(d, model_type=None), Reason.CONFIG_INVALID, "model_type", id="no-model-type"),
        pytest.param(
            lambda d: _edit(d, hidden_size="wide"), Reason.CONFIG_INVALID, "config.json", id="config-of-wrong-types"
        ),
        pytest.param(
            lambda d: _edit(d, model_type="x", architectures=["XForCausalLM"], auto_map=_REMOTE),
            Reason.REMOTE_CODE_REQUIRED,
            "XForCausalLM",
            id="remote-code",
        ),
        pytest.param(
            lambda d: _edit(d, model_type="x", architectures=["XForCausalLM"]),
            Reason.ARCHITECTURE_NOT_SUPPORTED,
            "XForCausalLM",
            id="unknown-architecture",
        ),
        pytest.param(
            lambda d: _edit(d, model_type="bert", architectures=["BertForMaskedLM"]),
            Reason.ARCHITECTURE_NOT_SUPPORTED,
            "BertForMaskedLM",
            id="no-generation-head",
        ),
        *(
            pytest.param(
                lambda d, t=model_type, n=name: _edit(d, model_type=t, architectures=[n]),
                Reason.ARCHITECTURE_NOT_SUPPORTED,
                f"{name} (model_type {model_type}) does not go from text to text. Served are causal",
                id=kind,
            )
            for kind, model_type, name in (
                ("images", "vit", "ViTForImageClassification"),
                ("images-and-text", "qwen2_vl", "Qwen2VLForConditionalGeneration"),
                ("speech", "whisper", "WhisperForConditionalGeneration"),
                ("sound", "wav2vec2", "Wav2Vec2ForCTC"),
                ("embeddings", "bert", "BertModel"),
                ("classifier", "llama", "LlamaForSequenceClassification"),
            )
        ),
        pytest.param(
            lambda d: (d / "model.safetensors").unlink(), Reason.WEIGHTS_INVALID, "no weights", id="no-weights"
        ),
        pytest.param(_only_pickle, Reason.WEIGHTS_INVALID, "allowPickle", id="only-pickled-weights"),
        pytest.param(_truncate, Reason.WEIGHTS_INVALID, "cut short", id="truncated"),
        pytest.param(
            lambda d: (d / "model.safetensors").write_bytes(b"not weights at all"),
            Reason.WEIGHTS_INVALID,
            "corrupt",
            id="corrupt",
        ),
        pytest.param(_drop_weight, Reason.WEIGHTS_INVALID, "layers.1.mlp.up_proj", id="weight-missing"),
        pytest.param(_reshape_weight, Reason.WEIGHTS_INVALID, "norm.weight", id="weight-of-another-shape"),
        pytest.param(_shard_missing, Reason.WEIGHTS_INVALID, "model-00002-of-00002", id="shard-missing"),
        pytest.param(_no_tokenizer, Reason.CONFIG_INVALID, "tokenizer", id="tokenizer-missing"),
        pytest.param(
            lambda d: (d / "tokenizer.json").write_text("{}"), Reason.CONFIG_INVALID, "tokenizer", id="tokenizer-broken"
        ),
    ],
)
def test_what_is_wrong_has_a_reason_and_a_sentence(
    spoil: Spoil, reason: Reason, words: str, copy: Callable[[str], Path]
) -> None:
    directory = copy("llama")
    spoil(directory)
    with pytest.raises(LoadFailure) as failed:
        loader.load_engine(_options(directory))
    assert failed.value.failure.reason is reason
    assert words in failed.value.failure.message


def test_a_gpu_that_is_not_there(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LoadFailure, match="no GPU") as failed:
        loader.load_engine(_options(tiny_model("llama"), device="cuda"))
    assert failed.value.failure.reason is Reason.DEVICE_NOT_AVAILABLE


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        pytest.param("mamba", "MambaForCausalLM (model_type mamba) keeps no keys and values", id="none"),
        pytest.param("lfm2", "Lfm2ForCausalLM (model_type lfm2) cannot be computed by this engine", id="few"),
    ],
)
def test_a_model_without_keys_and_values_is_named_beside_what_is_supported(
    architecture: str, words: str, tiny_model: TinyModel
) -> None:
    with pytest.raises(LoadFailure) as failed:
        loader.load_engine(_options(tiny_model(architecture)))
    failure = failed.value.failure
    assert failure.reason is Reason.ARCHITECTURE_NOT_SUPPORTED
    assert words in failure.message
    assert "Served are causal and sequence-to-sequence language models: bloom, codegen, falcon" in failure.message


def test_a_seq2seq_model_that_names_no_start(copy: Callable[[str], Path]) -> None:
    directory = copy("t5")
    (directory / "generation_config.json").unlink()
    _edit(directory, decoder_start_token_id=None, bos_token_id=None)
    with pytest.raises(LoadFailure, match="decoder_start_token_id") as failed:
        loader.load_engine(_options(directory))
    assert failed.value.failure.reason is Reason.CONFIG_INVALID


def test_a_forced_first_token_is_part_of_the_decoders_start(copy: Callable[[str], Path]) -> None:
    directory = copy("bart")
    _edit(directory, "generation_config.json", forced_bos_token_id=7)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(directory).eval()
    expected = model.generate(torch.tensor([[9, 10, 1]]), do_sample=False, max_new_tokens=12)[0].tolist()
    engine = loader.load_engine(_options(directory))
    [answer] = generate(engine, [[9, 10, 1]], [Sampling(max_new_tokens=11, temperature=0)])
    engine.close()
    assert expected[1] == 7
    assert answer.token_ids == expected[2:]


def test_pickled_weights_load_where_they_are_allowed(copy: Callable[[str], Path]) -> None:
    directory = copy("llama")
    _only_pickle(directory)
    engine = loader.load_engine(_options(directory, allow_pickle=True))
    engine.close()
    assert engine.info.architecture == "LlamaForCausalLM"


def test_tied_weights_need_not_be_in_the_files(copy: Callable[[str], Path]) -> None:
    directory = copy("gpt2")
    assert "lm_head.weight" not in load_file(directory / "model.safetensors")
    loader.load_engine(_options(directory)).close()


@pytest.mark.parametrize(
    ("architecture", "seq2seq", "chat_format"),
    [("llama", False, "human-assistant"), ("t5", True, "plain")],
)
def test_info_tells_what_was_loaded(architecture: str, seq2seq: bool, chat_format: str, tiny_model: TinyModel) -> None:
    directory = tiny_model(architecture)
    engine = loader.load_engine(_options(directory, model="someone/tiny", revision="abc"))
    engine.close()
    info = engine.info
    weights = load_file(directory / "model.safetensors")
    assert (info.model_id, info.model, info.revision) == ("tiny", "someone/tiny", "abc")
    assert (info.seq2seq, info.chat_format, info.dtype) == (seq2seq, chat_format, "float32")
    assert info.max_length == engine.limits.max_length == 96
    assert info.memory_usage.total_parameters == sum(weight.numel() for weight in weights.values())
    assert info.memory_usage.estimated_size_mb == info.memory_usage.total_parameters * 4 / 2**20
    assert info.versions["torch"] == torch.__version__


def test_info_tells_what_the_cache_may_take(tiny_model: TinyModel) -> None:
    engine = loader.load_engine(_options(tiny_model("llama")))
    engine.close()
    memory = engine.info.model_dump()["memory_usage"]
    keys_and_values, layers, heads, size = 2, 2, 2, 8
    assert memory["cache_bytes_per_token"] == keys_and_values * layers * heads * size * 4
    assert memory["max_concurrent_tokens"] >= engine.limits.max_length
    taken = memory["max_concurrent_tokens"] * memory["cache_bytes_per_token"]
    assert memory["cache_budget_mb"] == taken / 2**20


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves_take_half_the_memory(dtype: str, tiny_model: TinyModel) -> None:
    engine = loader.load_engine(_options(tiny_model("llama"), dtype=dtype))
    engine.close()
    info = engine.info
    assert info.dtype == dtype
    assert info.memory_usage.estimated_size_mb == info.memory_usage.total_parameters * 2 / 2**20


@pytest.mark.parametrize(("bfloat16", "expected"), [(True, "bfloat16"), (False, "float32")], ids=["with", "without"])
def test_weights_stored_as_halves_follow_the_cpu(bfloat16: bool, expected: str, copy: Callable[[str], Path]) -> None:
    directory = copy("llama")
    path = directory / "model.safetensors"
    save_file({name: weight.half() for name, weight in load_file(path).items()}, path, metadata={"format": "pt"})
    engine = loader.load_engine(_options(directory), machine=FakeMachine(bfloat16=bfloat16))
    engine.close()
    assert engine.info.dtype == expected


def test_a_lower_limit_wins_over_the_models(tiny_model: TinyModel) -> None:
    engine = loader.load_engine(_options(tiny_model("llama"), max_length=10))
    try:
        [answer] = generate(engine, [[5, 6, 7]], [Sampling(max_new_tokens=50, temperature=0, ignore_eos=True)])
    finally:
        engine.close()
    assert len(answer.token_ids) == 7


def test_end_tokens_may_be_a_list(copy: Callable[[str], Path]) -> None:
    directory = copy("llama")
    probe = loader.load_engine(_options(directory))
    [answer] = generate(probe, [[5, 6, 7]], [Sampling(max_new_tokens=6, temperature=0, ignore_eos=True)])
    probe.close()
    _edit(directory, "generation_config.json", eos_token_id=[1, answer.token_ids[3]])
    engine = loader.load_engine(_options(directory))
    [ended] = generate(engine, [[5, 6, 7]], [Sampling(max_new_tokens=6, temperature=0)])
    engine.close()
    assert ended.token_ids == answer.token_ids[: answer.token_ids.index(answer.token_ids[3]) + 1]
