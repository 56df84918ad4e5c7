"""Paths on this machine that need no conversion, and those that hold no model."""

from pathlib import Path

import pytest

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import Fetched, FetchFailure, FetchRequest, fetch
from support.model_files import config, safetensors, tiny_model, weights_index


def write(directory: Path, contents: dict[str, bytes]) -> Path:
    directory.mkdir(exist_ok=True)
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


def get(cache: Path, path: Path) -> Fetched:
    return fetch(FetchRequest(cache_dir=cache, path=path), progress=lambda _: None)


def test_a_model_directory_is_served_where_it_is(tmp_path: Path) -> None:
    files = tiny_model()
    source = write(tmp_path / "model", {**files, "notes.txt": b"not part of it"})
    fetched = get(tmp_path / "cache", source)
    assert fetched == Fetched(path=source, revision=None, bytes=sum(map(len, files.values())))
    assert not (tmp_path / "cache").exists()


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "model", tiny_model())
    monkeypatch.chdir(tmp_path)
    assert get(tmp_path / "cache", Path("model")).path == source


def test_a_link_to_a_directory_keeps_its_name(tmp_path: Path) -> None:
    source = write(tmp_path / "model", tiny_model())
    link = tmp_path / "link"
    link.symlink_to(source)
    assert get(tmp_path / "cache", link).path == link


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        pytest.param({}, Reason.NO_USABLE_WEIGHTS, id="empty"),
        pytest.param({"config.json": config()}, Reason.NO_USABLE_WEIGHTS, id="no-weights"),
        pytest.param({"model.safetensors": safetensors()}, Reason.CONFIG_INVALID, id="no-config"),
        pytest.param(tiny_model(**{"config.json": b"{"}), Reason.CONFIG_INVALID, id="broken-config"),
        pytest.param(
            {"config.json": b"{", "pytorch_model.bin": b"1"}, Reason.CONFIG_INVALID, id="broken-config-beside-a-pickle"
        ),
        pytest.param(tiny_model(**{"model.safetensors": safetensors()[:-9]}), Reason.WEIGHTS_INVALID, id="truncated"),
        pytest.param(
            {"config.json": config(), "model.safetensors.index.json": weights_index({"a": "gone.safetensors"})},
            Reason.NO_USABLE_WEIGHTS,
            id="missing-shard",
        ),
    ],
)
def test_a_directory_that_cannot_be_served_is_refused(
    tmp_path: Path, contents: dict[str, bytes], reason: Reason
) -> None:
    source = write(tmp_path / "model", contents)
    with pytest.raises(FetchFailure, match=str(source)) as raised:
        get(tmp_path / "cache", source)
    assert (raised.value.failure.reason, raised.value.failure.retryable) == (reason, False)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchFailure, match=r"nothing at .*/nowhere") as raised:
        get(tmp_path / "cache", tmp_path / "nowhere")
    assert raised.value.failure.reason is Reason.PATH_NOT_FOUND


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    source.write_bytes(safetensors())
    with pytest.raises(FetchFailure, match="directory instead") as raised:
        get(tmp_path / "cache", source)
    assert raised.value.failure.reason is Reason.NO_USABLE_WEIGHTS


@pytest.mark.parametrize("both", [{}, {"model": "a/b", "path": Path("c")}], ids=["neither", "both"])
def test_a_request_is_of_one_source(both: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either"):
        FetchRequest(cache_dir=tmp_path, **both)  # type: ignore[arg-type]


def test_a_request_does_not_show_its_token(tmp_path: Path) -> None:
    request = FetchRequest(cache_dir=tmp_path, model="a/b", token="hf_secret")
    assert "hf_secret" not in repr(request) + repr(request.source)
