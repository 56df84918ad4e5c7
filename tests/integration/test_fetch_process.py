"""`hfmodel-runtime fetch` as a process: its output, and what is left when it is stopped, killed or out of space."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fetch_process import fetch_process
from support.hub_server import Hold, HubRepo, HubServer
from support.model_files import safetensors, tiny_model

MODEL = "org/tiny"
WEIGHTS = "model.safetensors"
REPO = HubRepo(files=tiny_model(**{WEIGHTS: safetensors(200_000)}))
HELD_AT = 50_000
SECRET = "hf_verysecret"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer({MODEL: REPO}) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def arguments(hub: HubServer, cache: Path) -> list[str | Path]:
    return ["--cache-dir", cache, "--model", MODEL, "--endpoint", hub.url]


def published(cache: Path) -> list[Path]:
    return sorted(path.parent for path in cache.glob("models/*/*/.hfmodel.json"))


def partial_bytes(cache: Path) -> list[int]:
    return [path.stat().st_size for path in cache.glob(f"staging/*/download/{WEIGHTS}.partial")]


def test_a_fetch_prints_progress_then_where_the_model_is(hub: HubServer, cache: Path) -> None:
    with fetch_process(*arguments(hub, cache)) as running:
        assert running.finish() == 0, running.log
    assert {event["event"] for event in running.events[:-1]} == {"progress"}
    assert running.events[0].keys() == {"event", "stage", "bytes", "total_bytes", "bytes_per_second"}
    assert running.events[-1] == {
        "event": "done",
        "path": str(cache / "models" / "org--tiny" / REPO.commit),
        "revision": REPO.commit,
        "bytes": sum(map(len, REPO.files.values())),
    }


def test_a_failure_is_the_last_line_and_the_token_is_nowhere(cache: Path) -> None:
    gated = HubRepo(files=tiny_model(), gated=True)
    with (
        HubServer({MODEL: gated}, tokens=frozenset({SECRET})) as hub,
        fetch_process(*arguments(hub, cache), token=SECRET) as running,
    ):
        assert running.finish() == 1
        assert {seen.token for seen in hub.requests} == {SECRET}
    event = running.events[-1]
    assert (event["event"], event["reason"], event["retryable"]) == ("error", "GatedNoAccess", False)
    assert SECRET not in running.log + str(running.events)
    assert "Traceback" not in running.log


def test_a_missing_path_is_an_error_event(cache: Path, tmp_path: Path) -> None:
    with fetch_process("--cache-dir", cache, "--path", tmp_path / "nowhere") as running:
        assert running.finish() == 1
    assert running.events[-1]["reason"] == "PathNotFound"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([], id="no-source"),
        pytest.param(["--model", "a/b", "--path", "c"], id="two-sources"),
        pytest.param(["--model", "a/b", "--endpoint", "ftp://x"], id="endpoint-without-http"),
    ],
)
def test_wrong_arguments_are_refused(cache: Path, wrong: list[str]) -> None:
    with fetch_process("--cache-dir", cache, *wrong) as running:
        assert running.finish() == 2
    assert "usage:" in running.log


def test_two_processes_that_want_one_commit_make_one_download(hub: HubServer, cache: Path) -> None:
    hold = Hold(after=HELD_AT)
    hub.fail(WEIGHTS, hold)
    with fetch_process(*arguments(hub, cache)) as first:
        assert hold.reached.wait(60)
        with fetch_process(*arguments(hub, cache)) as second:
            waiting = second.wait_for("progress")
            hold.released.set()
            assert (first.finish(), second.finish()) == (0, 0), first.log + second.log
    assert waiting["total_bytes"] == sum(map(len, REPO.files.values()))
    assert first.events[-1] == second.events[-1]
    assert len(hub.gets(WEIGHTS)) == 1


def test_a_killed_fetch_leaves_nothing_published_and_the_next_goes_on(hub: HubServer, cache: Path) -> None:
    hold = Hold(after=HELD_AT)
    hub.fail(WEIGHTS, hold)
    with fetch_process(*arguments(hub, cache)) as running:
        assert hold.reached.wait(60)
        wait_until_written(cache)
        running.send(signal.SIGKILL)
        assert running.finish() == -signal.SIGKILL
    assert published(cache) == []
    with fetch_process(*arguments(hub, cache)) as again:
        assert again.finish() == 0, again.log
    assert [seen.range for seen in hub.gets(WEIGHTS)] == [None, f"bytes={HELD_AT}-"]
    assert (published(cache)[0] / WEIGHTS).read_bytes() == REPO.files[WEIGHTS]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_stopped_fetch_ends_quietly_and_keeps_its_partial(
    hub: HubServer, cache: Path, number: signal.Signals, status: int
) -> None:
    hold = Hold(after=HELD_AT)
    hub.fail(WEIGHTS, hold)
    with fetch_process(*arguments(hub, cache)) as running:
        assert hold.reached.wait(60)
        wait_until_written(cache)
        running.send(number)
        assert running.finish() == status
    assert "Traceback" not in running.log
    assert {event["event"] for event in running.events} == {"progress"}
    assert published(cache) == []
    assert partial_bytes(cache) == [HELD_AT]


def test_a_full_disk_is_a_reason_and_what_was_fetched_stays(hub: HubServer, cache: Path) -> None:
    limit = 100_000
    # A limit on the size of a file breaks a write half-way, as a full disk does.
    with fetch_process(*arguments(hub, cache), prefix=["prlimit", f"--fsize={limit}"]) as running:
        assert running.finish() == 1
    assert running.events[-1]["reason"] == "NoSpace"
    assert "Traceback" not in running.log
    assert published(cache) == []
    with fetch_process(*arguments(hub, cache)) as again:
        assert again.finish() == 0, again.log
    assert hub.gets(WEIGHTS)[-1].range == f"bytes={limit}-"


def wait_until_written(cache: Path) -> None:
    """The server has sent what it sends; the other side may not have it on the disk yet."""
    deadline = time.monotonic() + 60
    while partial_bytes(cache) != [HELD_AT]:
        assert time.monotonic() < deadline, "the partial file does not grow"
        time.sleep(0.01)
