"""Model directories that can be loaded, and those that cannot."""

from pathlib import Path

import pytest

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import FetchFailure
from hfmodel_runtime.fetch.verify import check_model_directory, check_safetensors
from support.model_files import config, safetensors, tiny_model, weights_index

SOUND = safetensors()
HEADER = int.from_bytes(SOUND[:8], "little")


def write(directory: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


def test_a_sound_directory_passes(tmp_path: Path) -> None:
    check_model_directory(write(tmp_path, tiny_model()))


def test_a_sound_directory_with_shards_passes(tmp_path: Path) -> None:
    index = weights_index({"a": "one.safetensors", "b": "two.safetensors"})
    shards = {"one.safetensors": safetensors(name="a"), "two.safetensors": safetensors(name="b")}
    check_model_directory(write(tmp_path, {"config.json": config(), "model.safetensors.index.json": index, **shards}))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(SOUND[:5], id="cut-in-the-length"),
        pytest.param(SOUND[:30], id="cut-in-the-header"),
        pytest.param(SOUND[: 8 + HEADER], id="no-data"),
        pytest.param(SOUND[:-1], id="one-byte-short"),
        pytest.param(SOUND + b"x", id="one-byte-long"),
        pytest.param(b"\xff" * 100, id="noise"),
        pytest.param(b"\x02" + b"\0" * 7 + b"[]", id="header-is-a-list"),
        pytest.param(b"\x07" + b"\0" * 7 + b'{"a":1}', id="tensor-without-offsets"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", id="lfs-pointer"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(FetchFailure, match="damaged") as raised:
        check_safetensors(path)
    assert raised.value.failure.reason is Reason.WEIGHTS_INVALID


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        pytest.param({"model.safetensors": SOUND}, Reason.CONFIG_INVALID, id="no-config"),
        pytest.param({"config.json": b"[]"}, Reason.CONFIG_INVALID, id="config-is-a-list"),
        pytest.param({"config.json": b"\xff"}, Reason.CONFIG_INVALID, id="config-is-not-text"),
        pytest.param({"config.json": b"{}"}, Reason.NO_USABLE_WEIGHTS, id="no-weights"),
        pytest.param(
            {"config.json": b"{}", "model.safetensors.index.json": b"{}"}, Reason.WEIGHTS_INVALID, id="index-of-nothing"
        ),
        pytest.param(
            {"config.json": b"{}", "model.safetensors.index.json": weights_index({"a": "gone.safetensors"})},
            Reason.WEIGHTS_INVALID,
            id="missing-shard",
        ),
        pytest.param(
            {"config.json": b"{}", "model.safetensors.index.json": weights_index({"a": "../x.safetensors"})},
            Reason.WEIGHTS_INVALID,
            id="index-leads-elsewhere",
        ),
    ],
)
def test_an_incomplete_directory_is_refused(tmp_path: Path, contents: dict[str, bytes], reason: Reason) -> None:
    with pytest.raises(FetchFailure) as raised:
        check_model_directory(write(tmp_path, contents))
    assert raised.value.failure.reason is reason
