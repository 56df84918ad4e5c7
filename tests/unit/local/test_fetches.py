"""Fetching for local mode: one fetch per source, remembered, explained; and the process that does it."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hfmodel_api.status import CacheStatus, Reason
from hfmodel_cli.local.fetches import Fetches, FetchFailed, ProcessFetcher, Progress
from hfmodel_operator.fetch_metrics import FetchMetrics
from hfmodel_operator.observed import PodFailure
from hfmodel_operator.source import Fetched, Source
from support.alive import alive, eventually
from support.local_values import NOON

SOURCE = Source(model="org/model")
OTHER = Source(model="org/other")
GATED = PodFailure(Reason.GATED_NO_TOKEN, "set HF_TOKEN", permanent=True)


class ScriptedFetcher:
    """Waits until it is let go; then gives the next of `results`."""

    def __init__(self, *results: Fetched | Exception) -> None:
        self.results = list(results)
        self.started: list[Source] = []
        self.cancelled: list[Source] = []
        self.go = asyncio.Event()

    async def fetch(self, source: Source, progress: Progress) -> Fetched:
        self.started.append(source)
        progress(CacheStatus(bytes=1, total_bytes=2))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(source)
            raise
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def fetches(fetcher: ScriptedFetcher) -> tuple[Fetches, list[Source]]:
    told: list[Source] = []
    return Fetches(fetcher, now=lambda: NOON, changed=told.append), told


async def test_all_who_need_a_source_share_one_fetch_and_later_ones_its_result() -> None:
    fetcher = ScriptedFetcher(Fetched("/models/a", "c0ffee", 2))
    all_fetches, told = fetches(fetcher)
    prefetch = all_fetches.start(SOURCE)
    waiting = [asyncio.create_task(all_fetches.ensure(SOURCE)) for _ in range(3)]
    await eventually(lambda: fetcher.started)
    assert all_fetches.state(SOURCE).running
    assert all_fetches.state(SOURCE).cache == CacheStatus(bytes=1, total_bytes=2)
    fetcher.go.set()
    assert {result.path for result in await asyncio.gather(prefetch, *waiting)} == {"/models/a"}
    assert (await all_fetches.ensure(SOURCE)).revision == "c0ffee"
    assert fetcher.started == [SOURCE]
    assert set(told) == {SOURCE}


async def test_one_who_stops_waiting_does_not_end_the_fetch_for_others() -> None:
    fetcher = ScriptedFetcher(Fetched("/models/a"))
    all_fetches, _ = fetches(fetcher)
    leaving, staying = (asyncio.create_task(all_fetches.ensure(SOURCE)) for _ in range(2))
    await eventually(lambda: fetcher.started)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    fetcher.go.set()
    assert (await staying).path == "/models/a"


async def test_failures_are_counted_and_a_success_or_a_resync_forgets_them() -> None:
    fetcher = ScriptedFetcher(FetchFailed(GATED), OSError("no fork"), Fetched("/models/a"))
    fetcher.go.set()
    all_fetches, _ = fetches(fetcher)
    with pytest.raises(FetchFailed, match="set HF_TOKEN"):
        await all_fetches.ensure(SOURCE)
    assert (all_fetches.state(SOURCE).failure, all_fetches.state(SOURCE).failed_at) == (GATED, NOON)
    with pytest.raises(FetchFailed, match="no fork"):
        await all_fetches.ensure(SOURCE)
    assert all_fetches.state(SOURCE).failures == 2
    all_fetches.look_again()
    assert all_fetches.state(SOURCE).failure is None
    await all_fetches.ensure(SOURCE)
    assert all_fetches.state(SOURCE).failures == 0


async def test_a_distrusted_source_is_fetched_again_but_stays_known_meanwhile() -> None:
    fetcher = ScriptedFetcher(Fetched("/models/a"), Fetched("/models/b"))
    fetcher.go.set()
    all_fetches, _ = fetches(fetcher)
    await all_fetches.ensure(SOURCE)
    all_fetches.distrust(SOURCE)
    fetched = all_fetches.state(SOURCE).fetched
    assert fetched is not None
    assert fetched.path == "/models/a"
    assert (await all_fetches.ensure(SOURCE)).path == "/models/b"


async def test_what_no_model_names_any_more_is_stopped() -> None:
    fetcher = ScriptedFetcher()
    all_fetches, _ = fetches(fetcher)
    waiting = asyncio.create_task(all_fetches.ensure(SOURCE))
    kept = all_fetches.start(OTHER)
    await eventually(lambda: len(fetcher.started) == 2)
    all_fetches.keep_only({OTHER})
    with pytest.raises(FetchFailed, match="stopped"):
        await waiting
    assert fetcher.cancelled == [SOURCE]
    assert not kept.done()
    await all_fetches.close()
    assert fetcher.cancelled == [SOURCE, OTHER]


def program(folder: Path, text: str) -> Sequence[str]:
    """A command that runs `text` in place of `hfmodel-runtime fetch`."""
    script = folder / "fetch.py"
    script.write_text(f"import json, os, signal, sys, time\nsay = lambda **e: print(json.dumps(e), flush=True)\n{text}")
    return (sys.executable, "-I", "-S", str(script))


def process_fetcher(folder: Path, text: str) -> ProcessFetcher:
    environment = {**os.environ, "HF_TOKEN": "hf_x", "API_KEY": "k"}
    command = program(folder, text)
    return ProcessFetcher(cache_dir=folder / "cache", log=folder / "fetch.log", env=environment, command=command)


async def test_the_process_gets_the_token_and_says_what_it_does(tmp_path: Path) -> None:
    fetcher = process_fetcher(
        tmp_path,
        """
say(event="progress", bytes=5, total_bytes=10, bytes_per_second=2.5, stage="download")
print("not JSON")
json.dump([sys.argv[1:], os.environ.get("HF_TOKEN"), os.environ.get("API_KEY")], open(sys.argv[2] + ".seen", "w"))
say(event="done", path="/models/x", revision="abc", bytes=10)
""",
    )
    seen: list[CacheStatus] = []
    source = Source(model="org/m", revision="v1", endpoint="http://mirror", allow_pickle=True, trust_remote_code=True)
    assert await fetcher.fetch(source, seen.append) == Fetched("/models/x", "abc", 10)
    assert seen[0] == CacheStatus(bytes=5, total_bytes=10, bytes_per_second=2.5)
    arguments, token, api_key = json.loads((tmp_path / "cache.seen").read_text())
    assert arguments == [
        *("--cache-dir", str(tmp_path / "cache"), "--model", "org/m", "--revision", "v1"),
        *("--endpoint", "http://mirror", "--allow-pickle", "--trust-remote-code"),
    ]
    assert (token, api_key) == ("hf_x", None)


@pytest.mark.parametrize(
    ("text", "reason", "message", "permanent"),
    [
        pytest.param(
            'say(event="error", reason="RepoNotFound", message="no such repo", retryable=False); sys.exit(1)',
            Reason.REPO_NOT_FOUND,
            "no such repo",
            True,
            id="its-own-reason",
        ),
        pytest.param(
            'say(event="error", reason="HubUnreachable", message="no answer", retryable=True); sys.exit(1)',
            Reason.HUB_UNREACHABLE,
            "no answer",
            False,
            id="retryable",
        ),
        pytest.param(
            'sys.stderr.write("it broke"); sys.exit(7)',
            Reason.CRASH_LOOP,
            "exit code 7. it broke",
            False,
            id="crash",
        ),
        pytest.param("pass", Reason.CRASH_LOOP, "exit code 0", False, id="no-result"),
    ],
)
async def test_why_the_process_failed(tmp_path: Path, text: str, reason: Reason, message: str, permanent: bool) -> None:
    with pytest.raises(FetchFailed) as raised:
        await process_fetcher(tmp_path, text).fetch(SOURCE, lambda _: None)
    assert raised.value.failure.reason == reason
    assert message in raised.value.failure.message
    assert raised.value.failure.permanent is permanent


async def test_cancelled_it_leaves_no_process(tmp_path: Path) -> None:
    pids: list[int] = []
    fetcher = process_fetcher(tmp_path, 'say(event="progress", bytes=os.getpid())\ntime.sleep(100)')
    fetching = asyncio.create_task(fetcher.fetch(SOURCE, lambda cache: pids.append(cache.bytes)))
    await eventually(lambda: pids)
    assert alive(pids[0])
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
    assert fetching.cancelled()
    assert not alive(pids[0])


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param('say(event="done", path="/x", bytes=1, seconds=1.0, downloaded_bytes=1)', "Done", id="done"),
        pytest.param(
            'say(event="error", reason="RepoNotFound", message="none", retryable=False)', "RepoNotFound", id="failed"
        ),
        pytest.param("sys.exit(3)", "CrashLoop", id="crashed"),
    ],
)
async def test_how_it_ended_is_counted(text: str, result: str, tmp_path: Path) -> None:
    metrics = FetchMetrics()
    command = program(tmp_path, text)
    fetcher = ProcessFetcher(
        cache_dir=tmp_path, log=tmp_path / "fetch.log", env=os.environ, metrics=metrics, command=command
    )
    with contextlib.suppress(FetchFailed):
        await fetcher.fetch(SOURCE, lambda _: None)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    ended = {each.labels["result"]: each.value for each in samples if each.name == "hfmodel_operator_fetches_total"}
    assert ended == {result: 1}
