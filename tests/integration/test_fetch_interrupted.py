"""A fetch that dies at any of its steps leaves a cache that is right, and that the next fetch goes on with."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from hfmodel_runtime.fetch import Fetched, FetchRequest, fetch
from hfmodel_runtime.fetch.inventory import Item, State, items, total_bytes
from support import killed_fetches
from support.cached_models import cached, interrupted
from support.hub_server import HubRepo, HubServer
from support.model_files import safetensors, tiny_model, weights_index

pytestmark = pytest.mark.slow

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
OLD_BYTES, KEPT_BYTES = 100_000, 50_000
LIMIT = 300_000  # the new model and the kept one fit, the old one does not
FEWEST_STEPS = 30  # else nothing is killed where it hurts


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer({MODEL: REPO}) as server:
        yield server
    close_session()


def crowded(cache: Path) -> None:
    cached(cache, "org/old", size=OLD_BYTES, days=9)
    cached(cache, "org/kept", size=KEPT_BYTES, days=30)
    interrupted(cache, "org/cut", size=1000, days=9)


def again(hub: HubServer, cache: Path) -> Fetched:
    request = FetchRequest(cache_dir=cache, model=MODEL, endpoint=hub.url, cache_limit=LIMIT, keep=killed_fetches.KEEP)
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


def killed_at_every_step(hub: HubServer, folder: Path) -> int:
    """How many steps a fetch has. The caches in `folder` are as fetches that died at each of them left them."""
    command: list[str | Path] = [sys.executable, killed_fetches.__file__, folder, MODEL, hub.url, str(LIMIT)]
    environment = {**os.environ, "PYTHONPATH": str(Path(killed_fetches.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
