"""`hfmodel up --cache-limit` with a Hub: what goes when a download needs room, and what never does."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hfmodel_runtime.fetch.cache import MARKER
from hfmodel_runtime.fetch.fetcher import fetch
from hfmodel_runtime.fetch.request import FetchRequest
from support.alive import with_marker
from support.hfmodel_up import RunningUp, hfmodel_up, write_manifest
from support.hub_server import HubRepo, HubServer
from support.tiny_models import make_tiny_model

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 90.0
DAY = 24 * 3600.0
NAMES = ("running", "oldest", "older", "third", "fourth", "fifth")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """Repositories that are all as large as each other."""
    folder = make_tiny_model("llama", tmp_path_factory.mktemp("tiny") / "llama")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with HubServer({f"org/{name}": HubRepo(files=files) for name in NAMES}) as server:
        yield server


def fetched(hub: HubServer, cache: Path, name: str, *, days_ago: float) -> int:
    """Bring a model into the cache, last used so long ago. Returns its size."""
    request = FetchRequest(cache_dir=cache, model=f"org/{name}", endpoint=hub.url)
    found = fetch(request, progress=lambda _: None)
    at = time.time() - days_ago * DAY
    os.utime(found.path / MARKER, (at, at))
    return found.bytes


def in_cache(cache: Path) -> set[str]:
    return {path.parent.parent.name.removeprefix("org--") for path in cache.glob(f"models/*/*/{MARKER}")}


def until(holds: Callable[[], object], running: RunningUp) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, running.output
        time.sleep(0.05)


def model(running: RunningUp, name: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{running.url}/models", timeout=30).json().get(name, {})
    return found


def test_the_least_recently_used_goes_that_nobody_names_and_nothing_that_is_named_or_runs(
    hub: HubServer, tmp_path: Path
) -> None:
    cache, catalog = tmp_path / "a cache", tmp_path / "models"
    catalog.mkdir()

    def add(name: str, **spec: Any) -> None:
        hub_source = {"hub": {"endpoint": hub.url}}
        write_manifest(catalog, name, path=catalog, **{"model": f"org/{name}", "source": hub_source, **spec})

    # The one that runs is the least recently used of all, as far as the cache knows.
    size = fetched(hub, cache, "running", days_ago=3)
    fetched(hub, cache, "oldest", days_ago=2)
    fetched(hub, cache, "older", days_ago=1)
    add("running", scaling={"minReplicas": 1})
    limit = str(3 * size + size // 2)
    options = ("--cache-limit", limit, "--cache-dir", str(cache))
    with hfmodel_up(catalog, *options, work=tmp_path, env={"HFMODEL_TEST_MARKER": str(tmp_path)}) as up:
        until(lambda: model(up, "running")["phase"] == "Ready", up)
        assert in_cache(cache) == {"running", "oldest", "older"}

        add("third")
        until(lambda: model(up, "third").get("phase") == "Asleep", up)
        assert in_cache(cache) == {"running", "older", "third"}

        add("fourth")
        until(lambda: model(up, "fourth").get("phase") == "Asleep", up)
        assert in_cache(cache) == {"running", "third", "fourth"}
        collected = httpx.get(f"{up.url}/metrics", timeout=30).text
        (count,) = re.findall(r"^hfmodel_operator_cache_collected_bytes_total (.*)$", collected, re.MULTILINE)
        assert 2 * size <= float(count) < 3 * size

        add("fifth")
        until(lambda: model(up, "fifth").get("phase") == "Failed", up)
        message = model(up, "fifth")["message"]
        assert "no room for the weights of org/fifth" in message
        assert "must stay: org/" in message
        assert in_cache(cache) == {"running", "third", "fourth"}
        answer = httpx.post(f"{up.url}/models/running/generate", json={"text": "hello", "max_new_tokens": 2})
        assert answer.status_code == 200, answer.text
    assert with_marker(str(tmp_path)) == set()


def test_two_catalogues_with_one_cache_spare_each_others_models(hub: HubServer, tmp_path: Path) -> None:
    cache, source = tmp_path / "cache", {"hub": {"endpoint": hub.url}}
    catalogs = [tmp_path / "one", tmp_path / "two"]
    for catalog, name in zip(catalogs, ("third", "fourth"), strict=True):
        catalog.mkdir()
        write_manifest(catalog, name, path=catalog, model=f"org/{name}", source=source)
    # The first sets no limit itself, and has ended when the second needs room.
    with hfmodel_up(catalogs[0], "--cache-dir", str(cache), work=tmp_path) as up:
        until(lambda: model(up, "third")["phase"] == "Asleep", up)
    size = fetched(hub, cache, "third", days_ago=1)
    with hfmodel_up(catalogs[1], "--cache-dir", str(cache), "--cache-limit", str(size), work=tmp_path) as up:
        until(lambda: model(up, "fourth")["phase"] == "Failed", up)
        assert "must stay: org/" in model(up, "fourth")["message"]
    assert in_cache(cache) == {"third"}
