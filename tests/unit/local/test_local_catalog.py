"""The catalogue on disk: what it means, and what happens to it while the server runs."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfmodel_api.errors import InvalidManifest
from hfmodel_cli.local import catalog
from hfmodel_cli.local.catalog import Catalog, Defaults, Snapshot
from support.alive import eventually
from support.local_values import document


class Watched:
    """A catalogue and everything it told."""

    def __init__(self, path: Path, defaults: Defaults | None = None) -> None:
        self.applied: list[Snapshot] = []
        self.reported: list[InvalidManifest] = []
        self.catalog = Catalog(
            path, defaults=defaults or Defaults(), applied=self.applied.append, reported=self.reported.append
        )

    @property
    def ids(self) -> list[str]:
        return list(self.catalog.snapshot.models)


def write(file: Path, *documents: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump_all(documents))
    return file


async def test_a_source_path_starts_at_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "a.yaml", document("a", source={"path": "../weights"}))
    watched = Watched(tmp_path)
    await watched.catalog.reload()
    assert watched.catalog.snapshot.models["a"].spec.source.path == str(tmp_path / "weights")


async def test_defaults_are_for_models_that_do_not_say(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", document("a"), document("b", scaling={"idleTimeout": "30m"}))
    watched = Watched(tmp_path, Defaults(idle_timeout=timedelta(seconds=7), prefetch=False))
    await watched.catalog.reload()
    models = watched.catalog.snapshot.models
    assert models["a"].spec.scaling.idle_timeout == timedelta(seconds=7)
    assert models["b"].spec.scaling.idle_timeout == timedelta(minutes=30)
    assert not models["a"].spec.cache.prefetch


async def test_a_broken_file_takes_nothing_away_and_is_reported_once(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.yaml", document("a")), write(tmp_path / "b.yaml", document("b"))
    watched = Watched(tmp_path)
    await watched.catalog.reload()
    write(bad, document("b", type="txt"))
    for _ in range(2):
        await watched.catalog.reload()
    assert watched.ids == ["a", "b"]
    assert [error.origin for error in watched.reported] == [str(bad)]
    assert "spec.type" in str(watched.reported[0])
    good.unlink()
    await watched.catalog.reload()
    assert watched.ids == ["b"]
    write(bad, document("b", maxLength=9))
    await watched.catalog.reload()
    assert watched.catalog.snapshot.models["b"].spec.max_length == 9
    write(bad, document("b", type="txt"))
    await watched.catalog.reload()
    assert len(watched.reported) == 2


async def test_one_broken_document_keeps_the_others_of_its_file_up_to_date(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", document("a"), document("b"))
    watched = Watched(tmp_path)
    await watched.catalog.reload()
    write(file, document("a", maxLength=9), document("b", maxLength=-1))
    await watched.catalog.reload()
    assert [model.spec.max_length for model in watched.catalog.snapshot.models.values()] == [9, None]


async def test_what_did_not_change_is_not_applied_again(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", document("a"))
    watched = Watched(tmp_path)
    await watched.catalog.reload()
    await watched.catalog.reload()
    assert len(watched.applied) == 1


async def test_a_catalogue_that_vanishes_is_no_reason_to_take_every_model_away(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    write(folder / "a.yaml", document("a"))
    watched = Watched(folder)
    await watched.catalog.reload()
    folder.rename(tmp_path / "elsewhere")
    await watched.catalog.reload()
    assert watched.ids == ["a"]
    assert "no such file or folder" in str(watched.reported[0])


async def test_an_old_models_yaml_is_a_catalogue_too(tmp_path: Path) -> None:
    file = write(
        tmp_path / "models.yaml",
        {
            "models": {"gpt2-small": {"name": "gpt2", "type": "text"}},
            "settings": {"max_concurrent_models": 2, "auto_unload_after_minutes": 5, "max_batch_size": 9},
        },
    )
    watched = Watched(file)
    await watched.catalog.reload()
    snapshot = watched.catalog.snapshot
    assert snapshot.models["gpt2-small"].spec.scaling.idle_timeout == timedelta(minutes=5)
    assert snapshot.settings is not None
    assert snapshot.settings.max_concurrent_models == 2
    assert snapshot.notes


@asynccontextmanager
async def following(path: Path) -> AsyncIterator[Watched]:
    watched = Watched(path)
    await watched.catalog.reload()
    task = asyncio.create_task(watched.catalog.watch())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_files_that_come_change_and_go_are_followed(tmp_path: Path) -> None:
    async with following(tmp_path) as watched:
        await until_watching(watched, tmp_path)
        file = write(tmp_path / "a.yaml", document("a"))
        await eventually(lambda: "a" in watched.ids)
        write(file, document("a", maxLength=9))
        await eventually(lambda: watched.catalog.snapshot.models["a"].spec.max_length == 9)
        write(file, document("a", maxLength=-9))
        await eventually(lambda: watched.reported)
        file.unlink()
        await eventually(lambda: "a" not in watched.ids)


@pytest.mark.parametrize("how", ["deleted", "moved"])
async def test_a_folder_that_is_made_anew_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(catalog, "_RESYNC_MILLISECONDS", 10_000_000)  # so that only the watch can notice
    folder = tmp_path / "models.d"
    folder.mkdir()
    async with following(folder) as watched:
        await until_watching(watched, folder)
        if how == "deleted":
            shutil.rmtree(folder)
        else:
            folder.rename(tmp_path / "old")
        folder.mkdir()
        write(folder / "a.yaml", document("a"))
        await eventually(lambda: "a" in watched.ids)
        write(folder / "b.yaml", document("b"))
        await eventually(lambda: "b" in watched.ids)


async def test_a_single_file_is_followed_when_an_editor_replaces_it(tmp_path: Path) -> None:
    file = write(tmp_path / "models.yaml", document("a"))
    async with following(file) as watched:
        await until_watching(watched, tmp_path, file)
        write(tmp_path / "draft", document("a"), document("b")).rename(file)
        await eventually(lambda: "b" in watched.ids)


async def test_a_file_that_is_empty_for_a_moment_loses_no_model(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", document("a"))
    watched = Watched(tmp_path)
    await watched.catalog.reload()
    file.write_text("")
    reloading = asyncio.create_task(watched.catalog.reload())
    await asyncio.sleep(0.05)
    write(file, document("a"))
    await reloading
    assert watched.ids == ["a"]
    assert len(watched.applied) == 1


async def until_watching(watched: Watched, folder: Path, file: Path | None = None) -> None:
    """The watch starts in its own time: change something until it is noticed."""
    probe = file or folder / "probe.yaml"
    number = 0

    def noticed() -> bool:
        nonlocal number
        number += 1
        write(probe, document("probe", maxLength=number))
        return len(watched.applied) > 1

    before = probe.read_text() if file is not None else None
    await eventually(noticed)
    if before is not None:
        probe.write_text(before)
    else:
        probe.unlink()
