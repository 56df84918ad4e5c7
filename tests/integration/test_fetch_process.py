"""`hfmodel-runtime fetch` as a process: its output, and what is left when it is stopped, killed or out of space."""

import io
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from support.cached_models import cached
from support.fetch_process import fetch_process
from support.hub_server import Cut, Hold, HubRepo, HubServer, Status
from support.model_files import safetensors, tiny_model

MODEL = "org/tiny"
WEIGHTS = "model.safetensors"
REPO = HubRepo(files=tiny_model(**{WEIGHTS: safetensors(200_000)}))
SIZE = sum(map(len, REPO.files.values()))
HELD_AT = 50_000
SECRET = "hf_verysecret"


IN_A_SMALL_VOLUME = """
set -eu
cache=$1 size=$2; shift 2
mkdir -p "$cache"; mount -t tmpfs -o "size=$size" tmpfs "$cache"
"$@" && exit 99
find "$cache" -name .hfmodel.json | grep -q . && exit 98
mount -o remount,size=10m "$cache"
exec "$@"
"""

READ_ONLY = 'volume=$1; shift; mount --bind "$volume" "$volume"; mount -o remount,ro,bind "$volume"; exec "$@"'


def may_mount() -> bool:
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    not may_mount(), reason="this user may not mount a volume, not even in a namespace of its own"
)


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
    assert running.events[0].keys() == {
        "event",
        "stage",
        "bytes",
        "total_bytes",
        "bytes_per_second",
        "seconds_left",
    }
    done = running.events[-1]
    assert done.pop("seconds") > 0
    assert done == {
        "event": "done",
        "path": str(cache / "models" / "org--tiny" / REPO.commit),
        "revision": REPO.commit,
        "bytes": SIZE,
        "downloaded_bytes": SIZE,
        "retries": 0,
        "converted": False,
        "collected_bytes": 0,
    }


def test_the_last_line_counts_what_this_fetch_did_and_no_other(hub: HubServer, cache: Path) -> None:
    hub.fail("/revision/main", Status(503))
    hub.fail(WEIGHTS, Cut(after=HELD_AT))
    for retries, downloaded in ((2, SIZE), (0, 0)):
        with fetch_process(*arguments(hub, cache)) as running:
            assert running.finish() == 0, running.log
        done = running.events[-1]
        assert (done["retries"], done["downloaded_bytes"], done["bytes"]) == (retries, downloaded, SIZE)


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
        pytest.param(["--model", "a/b", "--cache-limit", "lots"], id="no-size"),
        pytest.param(["--model", "a/b", "--keep", "c/d"], id="kept-by-nobody"),
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
    assert waiting["total_bytes"] == SIZE
    assert first.events[-1]["path"] == second.events[-1]["path"]
    assert (first.events[-1]["downloaded_bytes"], second.events[-1]["downloaded_bytes"]) == (SIZE, 0)
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
    assert f"({len(REPO.files[WEIGHTS]) - limit} bytes) still needed" in running.events[-1]["message"]
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


# Full disks


@needs_mounts
@pytest.mark.parametrize("names_only", [False, True], ids=["sizes-known", "sizes-unknown"])
def test_a_volume_that_is_too_small_is_a_reason_and_a_bigger_one_goes_on(cache: Path, *, names_only: bool) -> None:
    repo = replace(REPO, names_only=names_only)
    volume: list[str | Path] = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        IN_A_SMALL_VOLUME,
        "-",
        cache,
        "100k",
    ]
    with HubServer({MODEL: repo}) as hub, fetch_process(*arguments(hub, cache), prefix=volume) as running:
        assert running.finish() == 0, running.log
    failed, *_, done = [event for event in running.events if event["event"] != "progress"]
    assert (failed["reason"], failed["retryable"], done["event"]) == ("NoSpace", False, "done")
    assert str(cache) in failed["message"]
    assert " bytes) free" in failed["message"]
    assert "Traceback" not in running.log


@needs_mounts
@pytest.mark.parametrize("names_only", [False, True], ids=["sizes-known", "sizes-unknown"])
def test_a_volume_without_room_for_the_conversion_is_a_reason_and_a_bigger_one_goes_on(
    cache: Path, *, names_only: bool
) -> None:
    file = io.BytesIO()
    torch.save({"a": torch.arange(100_000.0)}, file)
    files = {"config.json": REPO.files["config.json"], "pytorch_model.bin": file.getvalue()}
    # The download fits, and half of what is made of it.
    volume: list[str | Path] = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        IN_A_SMALL_VOLUME,
        "-",
        cache,
        "600k",
    ]
    with (
        HubServer({MODEL: HubRepo(files=files, names_only=names_only)}) as hub,
        fetch_process(*arguments(hub, cache), prefix=volume) as running,
    ):
        assert running.finish() == 0, running.log
        # Where sizes are known, the volume is looked at before the weights are asked for.
        assert len(hub.gets("pytorch_model.bin")) == 1
    failed, *_, done = [event for event in running.events if event["event"] != "progress"]
    assert (failed["reason"], failed["retryable"], done["event"]) == ("NoSpace", False, "done")
    assert " bytes) needed" in failed["message"]
    assert " bytes) free" in failed["message"]
    assert done["downloaded_bytes"] == (0 if names_only else len(file.getvalue()))
    assert "Traceback" not in running.log


# Locks that lie


def test_two_processes_whose_locks_lie_both_end_with_the_right_model(hub: HubServer, cache: Path) -> None:
    holds = [Hold(after=HELD_AT), Hold(after=HELD_AT)]
    hub.fail(WEIGHTS, *holds)
    with fetch_process(*arguments(hub, cache), locks_lie=True) as first:
        assert holds[0].reached.wait(60)
        wait_until_written(cache)
        with fetch_process(*arguments(hub, cache), locks_lie=True) as second:
            assert holds[1].reached.wait(60)
            for hold in holds:
                hold.released.set()
            assert (first.finish(), second.finish()) == (0, 0), first.log + second.log
    (model,) = published(cache)
    assert {path.name: path.read_bytes() for path in model.iterdir() if path.name != ".hfmodel.json"} == REPO.files
    assert first.events[-1]["path"] == second.events[-1]["path"] == str(model)


def test_two_processes_whose_locks_lie_both_end_with_the_right_conversion(cache: Path) -> None:
    file = io.BytesIO()
    torch.save({"a": torch.arange(100_000.0)}, file)
    repo = HubRepo(files={"config.json": REPO.files["config.json"], "pytorch_model.bin": file.getvalue()})
    holds = [Hold(after=HELD_AT), Hold(after=HELD_AT)]
    with HubServer({MODEL: repo}) as hub:
        hub.fail("pytorch_model.bin", *holds)
        with fetch_process(*arguments(hub, cache), locks_lie=True) as first:
            assert holds[0].reached.wait(60)
            with fetch_process(*arguments(hub, cache), locks_lie=True) as second:
                assert holds[1].reached.wait(60)
                for hold in holds:
                    hold.released.set()
                assert (first.finish(), second.finish()) == (0, 0), first.log + second.log
    (model,) = published(cache)
    assert load_file(model / "model.safetensors")["a"].equal(torch.arange(100_000.0))
    assert first.events[-1]["path"] == second.events[-1]["path"] == str(model)
    assert list((cache / "staging").iterdir()) == []


def test_who_is_overtaken_writes_no_more_into_what_is_published(hub: HubServer, cache: Path) -> None:
    slow = Hold(after=HELD_AT, damaged=True)
    hub.fail(WEIGHTS, slow)
    with fetch_process(*arguments(hub, cache), locks_lie=True) as first:
        assert slow.reached.wait(60)
        wait_until_written(cache)
        with fetch_process(*arguments(hub, cache), locks_lie=True) as second:
            assert second.finish() == 0, second.log
        slow.released.set()
        assert first.finish() == 0, first.log
    (model,) = published(cache)
    assert (model / WEIGHTS).read_bytes() == REPO.files[WEIGHTS]


# Without the Hub


OFFLINE = {"HF_HUB_OFFLINE": "1"}


def test_what_is_cached_is_served_offline_by_branch_and_by_commit(hub: HubServer, cache: Path) -> None:
    with fetch_process(*arguments(hub, cache)) as running:
        assert running.finish() == 0, running.log
    asked = len(hub.requests)
    for revision in ("main", REPO.commit):
        with fetch_process(*arguments(hub, cache), "--revision", revision, env=OFFLINE) as offline:
            assert offline.finish() == 0, offline.log
        assert offline.events[-1]["path"] == running.events[-1]["path"]
    assert len(hub.requests) == asked


def test_what_is_not_cached_offline_says_what_to_do(hub: HubServer, cache: Path) -> None:
    with fetch_process(*arguments(hub, cache), env=OFFLINE) as running:
        assert running.finish() == 1
    failure = running.events[-1]
    assert (failure["reason"], failure["retryable"]) == ("HubUnreachable", False)
    for text in (MODEL, "HF_HUB_OFFLINE is set", str(cache)):
        assert text in failure["message"]
    assert hub.requests == []


def test_offline_another_commit_that_is_cached_is_named(hub: HubServer, cache: Path) -> None:
    with fetch_process(*arguments(hub, cache)) as running:
        assert running.finish() == 0, running.log
    with fetch_process(*arguments(hub, cache), "--revision", "v2", env=OFFLINE) as offline:
        assert offline.finish() == 1
    assert f"it has {REPO.commit}" in offline.events[-1]["message"]


@needs_mounts
def test_a_cache_that_came_from_elsewhere_and_is_read_only_serves(hub: HubServer, cache: Path, tmp_path: Path) -> None:
    with fetch_process(*arguments(hub, cache)) as running:
        assert running.finish() == 0, running.log
    preloaded = tmp_path / "volume"
    cache.rename(preloaded)
    read_only: list[str | Path] = ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "-", preloaded]
    wanted: list[str | Path] = ["--cache-dir", preloaded, "--model", MODEL, "--endpoint", hub.url]
    keeping = ["--keeper", "ns/models", "--keep", MODEL, "--cache-limit", "1Gi"]
    with fetch_process(*wanted, *keeping, env=OFFLINE, prefix=read_only) as offline:
        assert offline.finish() == 0, offline.log
    assert offline.events[-1]["path"] == str(preloaded / "models" / "org--tiny" / REPO.commit)


def test_a_mirror_may_come_from_the_environment(hub: HubServer, cache: Path) -> None:
    with fetch_process("--cache-dir", cache, "--model", MODEL, env={"HF_ENDPOINT": hub.url}) as running:
        assert running.finish() == 0, running.log
    assert published(cache) == [cache / "models" / "org--tiny" / REPO.commit]


# A limit


def test_a_limit_makes_room_for_the_next_model(hub: HubServer, cache: Path) -> None:
    cached(cache, "org/old", size=100_000, days=9)
    cached(cache, "org/named", size=100_000, days=9)
    limit = {"HFMODEL_CACHE_LIMIT": "320kB", "HFMODEL_CACHE_KEEPER": "ns/models", "HFMODEL_CACHE_KEEP": "org/named"}
    with fetch_process(*arguments(hub, cache), env=limit) as running:
        assert running.finish() == 0, running.log
    assert [path.parent.name for path in published(cache)] == ["org--named", "org--tiny"]
    assert running.events[-1]["collected_bytes"] > 100_000


def test_a_limit_that_is_too_small_is_a_reason_and_asks_for_no_weights(hub: HubServer, cache: Path) -> None:
    with fetch_process(*arguments(hub, cache), "--cache-limit", "100kB", "--keeper", "ns/models") as running:
        assert running.finish() == 1
    failure = running.events[-1]
    assert (failure["reason"], failure["retryable"]) == ("NoSpace", False)
    assert "limit is 100.0 kB" in failure["message"]
    assert hub.gets(WEIGHTS) == []
