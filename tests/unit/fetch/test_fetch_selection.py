"""Which files of a repository are chosen."""

import pytest

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import FetchFailure
from hfmodel_runtime.fetch.selection import Selection, SourceFile, WeightFormat, narrowed, select


def files(*paths: str) -> list[SourceFile]:
    return [SourceFile(path=path, size=10) for path in paths]


def paths(selection: Selection) -> set[str]:
    return {file.path for file in selection.files}


@pytest.mark.parametrize(
    ("listed", "kind", "weights"),
    [
        pytest.param(
            ["config.json", "model.safetensors", "pytorch_model.bin", "m.gguf"],
            WeightFormat.SAFETENSORS,
            {"model.safetensors"},
            id="safetensors-before-all",
        ),
        pytest.param(
            ["config.json", "model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors"],
            WeightFormat.SAFETENSORS,
            {"model.safetensors"},
            id="one-file-before-shards",
        ),
        pytest.param(
            [
                "config.json",
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "consolidated-00001-of-00001.safetensors",
                "original/model-00001-of-00002.safetensors",
            ],
            WeightFormat.SAFETENSORS,
            {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
            id="shards",
        ),
        pytest.param(
            ["config.json", "model.safetensors.index.json", "model.safetensors-00001-of-00001.safetensors"],
            WeightFormat.SAFETENSORS,
            {"model.safetensors-00001-of-00001.safetensors"},
            id="shards-named-otherwise",
        ),
        pytest.param(
            ["config.json", "pytorch_model.bin", "training_args.bin", "m.gguf"],
            WeightFormat.PICKLE,
            {"pytorch_model.bin"},
            id="pickle-before-gguf",
        ),
        pytest.param(
            ["config.json", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
            WeightFormat.PICKLE,
            {"pytorch_model-00001-of-00001.bin"},
            id="pickle-shards",
        ),
    ],
)
def test_the_best_weights_are_chosen(listed: list[str], kind: WeightFormat, weights: set[str]) -> None:
    selection = select(files(*listed), model="m")
    assert (selection.format, {file.path for file in selection.weights}) == (kind, weights)


@pytest.mark.parametrize(
    ("listed", "chosen"),
    [
        pytest.param(["a.Q4_K_M.gguf", "a.Q8_0.gguf", "a.f16.gguf"], "a.Q8_0.gguf", id="eight-bits-first"),
        pytest.param(["a-q2_k.gguf", "a-q4_0.gguf", "a-f32.gguf"], "a-q4_0.gguf", id="lower-case"),
        pytest.param(["a-f32.gguf", "a-bf16.gguf"], "a-bf16.gguf", id="bfloat16-is-not-f16"),
        pytest.param(["model.gguf", "a.Q2_K.gguf"], "a.Q2_K.gguf", id="unnamed-last"),
        pytest.param(["mmproj-Q8_0.gguf", "a.imatrix.gguf", "a.Q3_K_S.gguf"], "a.Q3_K_S.gguf", id="models-only"),
        pytest.param(["a.Q8_0-00001-of-00002.gguf", "a.Q4_0.gguf"], "a.Q4_0.gguf", id="no-split-files"),
    ],
)
def test_one_gguf_file_is_chosen_and_nothing_beside_it(listed: list[str], chosen: str) -> None:
    selection = select(files("config.json", "tokenizer.json", *listed), model="m")
    assert (selection.format, paths(selection)) == (WeightFormat.GGUF, {chosen})


@pytest.mark.parametrize(
    "name",
    [
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "qwen.tiktoken",
        "chat_template.jinja",
        "chat_template.json",
        "additional_chat_templates/tools.jinja",
    ],
)
def test_config_and_tokenizer_come_along(name: str) -> None:
    assert name in paths(select(files("config.json", "model.safetensors", name), model="m"))


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "modeling_x.py",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/model.onnx",
        "onnx/config.json",
        "openvino_model.xml",
        "optimizer.pt",
        "model.fp16.safetensors",
        "adapter_model.safetensors",
        ".gitattributes",
    ],
)
def test_other_files_stay_away(name: str) -> None:
    assert name not in paths(select(files("config.json", "model.safetensors", name), model="m"))


def test_code_comes_along_when_asked_for() -> None:
    listed = files("config.json", "model.safetensors", "modeling_x.py", "ops/fast.py")
    assert {"modeling_x.py", "ops/fast.py"} < paths(select(listed, model="m", code=True))


@pytest.mark.parametrize("name", ["../x.py", "/etc/x.py", "a/../../x.py", "a\\..\\x.py", "x\0.py", ""])
def test_a_path_that_leads_elsewhere_is_never_chosen(name: str) -> None:
    assert paths(select(files("config.json", "model.safetensors", name), model="m", code=True)) == {
        "config.json",
        "model.safetensors",
    }


@pytest.mark.parametrize(
    ("listed", "reason", "says"),
    [
        pytest.param([], Reason.NO_USABLE_WEIGHTS, "it has no files", id="empty"),
        pytest.param(["config.json", "tf_model.h5"], Reason.NO_USABLE_WEIGHTS, "it has tf_model.h5", id="tensorflow"),
        pytest.param(["a-00001-of-00002.gguf"], Reason.NO_USABLE_WEIGHTS, "a-00001-of-00002.gguf", id="split-gguf"),
        pytest.param(["sub/model.CKPT"], Reason.NO_USABLE_WEIGHTS, "sub/model.CKPT", id="checkpoint-in-a-folder"),
        pytest.param(["README.md"], Reason.NO_USABLE_WEIGHTS, r"README.md \(10 B\)", id="nothing-like-weights"),
        pytest.param(["adapter_model.safetensors"], Reason.NO_USABLE_WEIGHTS, "LoRA", id="adapter"),
        pytest.param(["model.safetensors"], Reason.CONFIG_INVALID, "config.json", id="no-config"),
    ],
)
def test_what_is_no_model_is_refused_with_what_it_is(listed: list[str], reason: Reason, says: str) -> None:
    with pytest.raises(FetchFailure, match=says) as raised:
        select(files(*listed), model="org/x")
    assert raised.value.failure.reason is reason
    assert "org/x" in str(raised.value)


def test_of_many_files_the_ten_largest_like_weights_are_named() -> None:
    listed = [SourceFile(path=f"w{size:02}.pt", size=size) for size in range(12)]
    listed += [SourceFile(path="data.parquet", size=10**12), SourceFile(path="x" * 3000 + ".onnx", size=10**9)]
    with pytest.raises(FetchFailure) as raised:
        select(listed, model="org/x")
    message = str(raised.value)
    assert message.endswith(f"w{3:02}.pt (3 B) and 3 more")
    assert message.count(" B)") == 9
    assert "parquet" not in message
    assert "xxx.onnx (1.0 GB)" in message
    assert len(message) < 1000


@pytest.mark.parametrize(("missing", "says"), [(1, "s0 is missing"), (3, "s0 and 2 more files are missing")])
def test_missing_shards_are_counted(missing: int, says: str) -> None:
    selection = select(files("config.json", "model.safetensors.index.json"), model="m")
    with pytest.raises(FetchFailure, match=says):
        narrowed(selection, files=files("config.json"), shards=[f"s{n}" for n in range(missing)], model="m")


def test_a_total_with_an_unknown_size_is_unknown() -> None:
    listed = [SourceFile(path="config.json", size=3), SourceFile(path="model.safetensors")]
    assert select(listed, model="m").total_bytes is None
    assert select(files("config.json", "model.safetensors"), model="m").total_bytes == 20
