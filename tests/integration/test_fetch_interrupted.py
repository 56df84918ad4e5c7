"""A fetch that dies at any of its steps leaves a cache that is right, and that the next fetch goes on with."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import close_session

from hfmodel_runtime.fetch import Fetched, FetchRequest, fetch
from hfmodel_runtime.fetch.inventory import Item, State, items, total_bytes
from support import killed_fetches
from support.cached_models import cached, interrupted
from support.hub_server import HubRepo, HubServer
from support.model_files import safetensors, tiny_model, weights_index

pytestmark = pytest.mark.slow


def pickled(name: str, elements: int) -> bytes:
    """A `.bin` file with one tensor of float32."""
    file = io.BytesIO()
    torch.save({name: torch.arange(float(elements))}, file)
    return file.getvalue()


MODEL = "org/tiny"
REPO = HubRepo(
    files={
        **{name: content for name, content in tiny_model().items() if name != "model.safetensors"},
        "model.safetensors.index.json": weights_index(
            {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
        ),
        "model-00001-of-00002.safetensors": safetensors(150_000, name="a"),
        "model-00002-of-00002.safetensors": safetensors(50_000, name="b"),
    }
)
PICKLED = HubRepo(
    files={
        "config.json": REPO.files["config.json"],
        "tokenizer.json": b"{}",
        "pytorch_model.bin.index.json": weights_index(
            {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
        ),
        "pytorch_model-00001-of-00002.bin": pickled("a", 30_000),
        "pytorch_model-00002-of-00002.bin": pickled("b", 10_000),
    }
)
OLD_BYTES, KEPT_BYTES = 100_000, 50_000
LIMIT = 300_000  # the new model and the kept one fit, the old one does not
# The same while the new model is converted: it is there twice then.
CONVERTING_LIMIT = 450_000
FEWEST_STEPS = 30  # else nothing is killed where it hurts


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer({MODEL: REPO, "org/pickled": PICKLED}) as server:
        yield server
    close_session()


def crowded(cache: Path) -> None:
    cached(cache, "org/old", size=OLD_BYTES, days=9)
    cached(cache, "org/kept", size=KEPT_BYTES, days=30)
    interrupted(cache, "org/cut", size=1000, days=9)


def again(hub: HubServer, cache: Path, *, model: str = MODEL, limit: int = LIMIT) -> Fetched:
    request = FetchRequest(cache_dir=cache, model=model, endpoint=hub.url, cache_limit=limit, keep=killed_fetches.KEEP)
    return fetch(request, progress=lambda _: None)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".hfmodel.json"}


def published(cache: Path) -> dict[str, Item]:
    return {item.model: item for item in items(cache) if item.state is State.PUBLISHED}


def test_killed_at_any_step_it_leaves_nothing_half_and_the_next_one_goes_on(hub: HubServer, tmp_path: Path) -> None:
    crowded(tmp_path / "template")
    steps = killed_at_every_step(hub, tmp_path)
    assert steps > FEWEST_STEPS
    for cache in (tmp_path / str(step) for step in range(1, steps)):
        left = published(cache)
        assert "org/kept" in left
        if "org/tiny" in left:
            assert contents(left["org/tiny"].path) == REPO.files, cache
        assert contents(again(hub, cache).path) == REPO.files, cache
        assert published(cache).keys() == {"org/kept", MODEL}, cache
        assert total_bytes(items(cache)) <= LIMIT


def test_killed_at_any_step_of_a_conversion_it_leaves_nothing_half_and_the_next_one_converts(
    hub: HubServer, tmp_path: Path
) -> None:
    model = "org/pickled"
    crowded(tmp_path / "template")
    steps = killed_at_every_step(hub, tmp_path, model=model, limit=CONVERTING_LIMIT)
    assert steps > FEWEST_STEPS
    whole = contents(again(hub, tmp_path / str(steps), model=model, limit=CONVERTING_LIMIT).path)
    assert "model-00002-of-00002.safetensors" in whole
    assert any(list((tmp_path / str(step)).glob("staging/*/converted-*/*.safetensors")) for step in range(1, steps))
    for cache in (tmp_path / str(step) for step in range(1, steps)):
        left = published(cache)
        assert "org/kept" in left
        if model in left:
            assert contents(left[model].path) == whole, cache
        assert contents(again(hub, cache, model=model, limit=CONVERTING_LIMIT).path) == whole, cache
        assert published(cache).keys() == {"org/kept", model}, cache
        assert total_bytes(items(cache)) <= CONVERTING_LIMIT


def killed_at_every_step(hub: HubServer, folder: Path, *, model: str = MODEL, limit: int = LIMIT) -> int:
    """How many steps a fetch has. The caches in `folder` are as fetches that died at each of them left them."""
    command: list[str | Path] = [sys.executable, killed_fetches.__file__, folder, model, hub.url, str(limit)]
    environment = {**os.environ, "PYTHONPATH": str(Path(killed_fetches.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
