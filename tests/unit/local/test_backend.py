"""All of local mode behind the router, with the real decider, real processes and runtimes that pretend."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.status import CacheStatus, Phase
from hfmodel_cli.local.announce import News
from hfmodel_cli.local.backend import Backend, BackendOptions, running_backend
from hfmodel_cli.local.catalog import Defaults
from hfmodel_router.fleet import ModelState
from support import fake_zygote
from support.alive import eventually, with_marker
from support.local_values import document

FETCH = """
import json, sys
path = sys.argv[sys.argv.index("--path") + 1]
if "missing" in path:
    print(json.dumps({"event": "error", "reason": "PathNotFound", "message": "not there", "retryable": False}))
    sys.exit(1)
print(json.dumps({"event": "progress", "bytes": 5, "total_bytes": 10, "stage": "convert"}), flush=True)
print(json.dumps({"event": "done", "path": path, "revision": None, "bytes": 10}))
"""


@dataclass
class Notebook:
    """A watcher that writes everything down."""

    lines: list[str] = field(default_factory=list)
    invalids: list[str] = field(default_factory=list)

    def say(self, news: News) -> None:
        self.lines.append(f"{news.model_id}: {news.text}")

    def progress(self, model_id: str, cache: CacheStatus | None) -> None:
        """Not looked at."""

    def invalid(self, error: InvalidManifest) -> None:
        self.invalids.append(str(error))

    def note(self, text: str) -> None:
        self.lines.append(text)


@dataclass
class Running:
    backend: Backend
    notebook: Notebook
    catalog: Path
    forced: asyncio.Event

    def state(self, model_id: str = "m") -> ModelState:
        return self.backend.fleet.catalogue()[model_id]

    async def wake(self, model_id: str = "m") -> ModelState:
        await self.backend.fleet.want(model_id)
        await eventually(lambda: self.state(model_id).loaded, str(self.notebook.lines))
        return self.state(model_id)

    async def until_asleep(self, model_id: str = "m") -> None:
        await eventually(lambda: self.state(model_id).phase is Phase.ASLEEP, str(self.notebook.lines))


def write(folder: Path, *documents: dict[str, Any]) -> None:
    for each in documents:
        (folder / f"{each['metadata']['name']}.yaml").write_text(yaml.safe_dump(each))


@asynccontextmanager
async def running(
    tmp_path: Path, *documents: dict[str, Any], max_loaded: int | None = None, idle: float = 0.1
) -> AsyncIterator[Running]:
    catalog, directory, fetch = tmp_path / "catalog", tmp_path / "run", tmp_path / "fetch.py"
    catalog.mkdir()
    directory.mkdir()
    fetch.write_text(FETCH)
    write(catalog, *documents)
    options = BackendOptions(
        catalog=catalog,
        cache_dir=tmp_path / "cache",
        defaults=Defaults(idle_timeout=timedelta(seconds=idle)),
        max_loaded=max_loaded,
        min_residency=timedelta(seconds=0.05),
        stop_within=5,
        zygote_command=tuple(fake_zygote.COMMAND),
        fetch_command=(sys.executable, "-I", "-S", str(fetch)),
        environment={**os.environ, "HFMODEL_TEST_MARKER": str(tmp_path)},
    )
    notebook, forced = Notebook(), asyncio.Event()
    async with running_backend(options, directory=directory, watcher=notebook, forced=forced) as backend:
        yield Running(backend, notebook, catalog, forced)
    assert with_marker(str(tmp_path)) == set()


async def test_a_wanted_model_wakes_and_an_idle_one_sleeps_again(tmp_path: Path) -> None:
    async with running(tmp_path, document()) as up:
        await up.until_asleep()
        assert not up.state().loaded
        assert (await up.wake()).start_seconds is not None
        await up.until_asleep()
        await up.wake()
        assert (
            up.notebook.lines[0:2] == ["m: waking", f"m: ready in {up.state().start_seconds:.1f} s"]
            or up.notebook.lines
        )


async def test_a_release_lets_a_model_go_before_its_time(tmp_path: Path) -> None:
    async with running(tmp_path, document(), idle=1000) as up:
        await up.wake()
        await up.backend.fleet.release("m")
        await up.until_asleep()


async def test_with_one_place_two_models_take_turns(tmp_path: Path) -> None:
    async with running(tmp_path, document("a"), document("b"), max_loaded=1, idle=1000) as up:
        for wanted, other in (("a", "b"), ("b", "a"), ("a", "b")):
            await up.wake(wanted)
            assert not up.state(other).loaded


async def test_what_cannot_start_says_why_and_wakes_once_the_world_is_mended(tmp_path: Path) -> None:
    async with running(tmp_path, document(source={"path": "missing/weights"})) as up:
        await eventually(lambda: up.state().problem)
        problem = up.state().problem
        assert problem is not None
        assert (problem.reason, up.state().phase) == ("PathNotFound", Phase.FAILED)
        write(up.catalog, document(source={"path": "weights"}))
        await up.backend.fleet.resync()
        await up.wake()


async def test_a_pod_that_is_killed_is_replaced_while_it_is_wanted(tmp_path: Path) -> None:
    async with running(tmp_path, document(scaling={"minReplicas": 1})) as up:
        await eventually(lambda: up.state().loaded)
        before = up.state().endpoints
        for pid in pids_of_pods(tmp_path):
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: up.state().loaded and up.state().endpoints != before)


async def test_a_changed_spec_replaces_the_pod_and_never_leaves_none(tmp_path: Path) -> None:
    async with running(tmp_path, document(), idle=1000) as up:
        before = (await up.wake()).endpoints
        gaps: list[str] = []
        up.backend.fleet.subscribe(lambda _: None if up.state().loaded else gaps.append("gap"))
        write(up.catalog, document(maxLength=9))
        await up.backend.fleet.resync()
        await eventually(lambda: up.state().endpoints and not set(up.state().endpoints) & set(before))
        assert gaps == []


async def test_a_description_is_no_reason_to_replace_a_pod(tmp_path: Path) -> None:
    async with running(tmp_path, document(), idle=1000) as up:
        before = (await up.wake()).endpoints
        write(up.catalog, document(description="now with words"))
        await up.backend.fleet.resync()
        assert up.state().model.spec.description == "now with words"
        await up.backend.fleet.want("m")
        assert up.state().endpoints == before


async def test_a_removed_model_is_unknown_at_once_and_its_processes_go(tmp_path: Path) -> None:
    async with running(tmp_path, document("a"), document("b"), idle=1000) as up:
        await up.wake("a")
        (up.catalog / "a.yaml").unlink()
        await up.backend.fleet.resync()
        assert list(up.backend.fleet.catalogue()) == ["b"]
        await eventually(lambda: not pids_of_pods(tmp_path))
        assert "a: removed" in up.notebook.lines


async def test_what_only_a_cluster_has_is_refused_in_words(tmp_path: Path) -> None:
    source = {"pvc": {"claimName": "weights", "path": "m"}}
    async with running(tmp_path, document(source=source)) as up:
        await eventually(lambda: up.state().problem)
        problem = up.state().problem
        assert problem is not None
        assert problem.reason == "SourceNotSupported"
        assert "source.path" in problem.message


async def test_leaving_with_running_work_ends_it_in_time(tmp_path: Path) -> None:
    stubborn = document(env=[{"name": "FAKE", "value": "stubborn"}])
    async with running(tmp_path, stubborn, idle=1000) as up:
        await up.wake()
        up.forced.set()


def pids_of_pods(tmp_path: Path) -> Sequence[int]:
    """Processes whose output goes to the log of a pod."""
    found = []
    for pid in with_marker(str(tmp_path)):
        try:
            log = str(Path(f"/proc/{pid}/fd/1").readlink())
        except OSError:
            continue
        if log.startswith(f"{tmp_path}/run/") and "zygote" not in log and "fetch" not in log:
            found.append(pid)
    return found
