"""Fetching over real HTTP with the real huggingface_hub: what arrives, what is asked for, what fails how."""

import fcntl
import shutil
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, hf_hub_download, snapshot_download

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import Fetched, FetchFailure, FetchRequest, Progress, Retry, Stage, fetch
from hfmodel_runtime.fetch.cache import commit_entry, write_ref
from support.hub_server import Body, Cut, Garble, Hold, HubRepo, HubServer, Status, silent_endpoint
from support.model_files import config, safetensors, tiny_model, weights_index

MODEL = "org/tiny"
FAST = Retry(attempts=3, base_seconds=0.01)
GOOD, OTHER, UNKNOWN = "hf_good", "hf_other", "hf_unknown"


@pytest.fixture(autouse=True)
def _fresh_connections() -> Iterator[None]:
    # huggingface_hub keeps connections for the process; each test has another server.
    yield
    close_session()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def get(hub: HubServer, cache: Path, **options: Any) -> Fetched:
    return fetch(
        FetchRequest(**{"model": MODEL, "endpoint": hub.url, "cache_dir": cache, **options}),
        progress=lambda _: None,
        retry=FAST,
    )


def failure(hub: HubServer, cache: Path, **options: Any) -> FetchFailure:
    with pytest.raises(FetchFailure) as raised:
        get(hub, cache, **options)
    assert published(cache) == []
    return raised.value


def published(cache: Path) -> list[Path]:
    return sorted(path.parent for path in cache.glob("models/*/*/.hfmodel.json"))


def gguf_beginning(elements: int) -> bytes:
    """The header of a GGUF file without metadata, with one tensor."""
    tensor = struct.pack("<Q1sIQIQ", 1, b"a", 1, elements, 0, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor + bytes(1000)


def names(directory: Path) -> set[str]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix() for path in found} - {".hfmodel.json"}


# What arrives


def test_a_branch_arrives_as_its_commit_with_the_files_that_are_needed_and_no_others(cache: Path) -> None:
    unwanted = {
        "README.md": b"#",
        "pytorch_model.bin": b"1",
        "flax_model.msgpack": b"1",
        "onnx/model.onnx": b"1",
        "consolidated.safetensors": safetensors(),
        "model.fp16.safetensors": safetensors(),
        "modeling_tiny.py": b"",
        "original/config.json": b"{}",
    }
    wanted = tiny_model(**{"generation_config.json": b"{}", "chat_template.jinja": b"x", "spiece.model": b"y"})
    repo = HubRepo(files={**wanted, **unwanted})
    with HubServer({MODEL: repo}) as hub:
        fetched = get(hub, cache)
    assert fetched == Fetched(
        path=cache / "models" / "org--tiny" / repo.commit,
        revision=repo.commit,
        bytes=sum(map(len, wanted.values())),
    )
    assert {name: (fetched.path / name).read_bytes() for name in names(fetched.path)} == wanted
    assert list((cache / "staging").iterdir()) == []


def test_a_published_commit_is_answered_without_the_network(cache: Path) -> None:
    repo = HubRepo(files=tiny_model())
    with HubServer({MODEL: repo}) as hub:
        first = get(hub, cache)
        asked = len(hub.requests)
        assert get(hub, cache, revision=repo.commit) == first
        assert len(hub.requests) == asked


def test_a_published_branch_costs_one_question(cache: Path) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        first = get(hub, cache)
        asked = len(hub.requests)
        assert get(hub, cache) == first
        assert len(hub.requests) == asked + 1


def test_a_branch_that_moved_is_fetched_beside_the_old_commit(cache: Path) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        old = get(hub, cache)
        commit = hub.push(MODEL, HubRepo(files=tiny_model(**{"tokenizer.json": b"[]"})))
        new = get(hub, cache)
        assert get(hub, cache, revision=str(old.revision)) == old
    assert new.revision == commit
    assert published(cache) == sorted([old.path, new.path])


def test_an_unreachable_hub_leaves_the_commit_that_the_branch_had_last(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        first = get(hub, cache)
    assert get(hub, cache) == first
    assert "using the commit resolved last" in caplog.text


@pytest.mark.parametrize("accepts", [False, True], ids=["never-accepts", "never-answers"])
def test_a_dead_line_is_tried_once_and_briefly_where_the_branch_is_published(
    cache: Path, caplog: pytest.LogCaptureFixture, *, accepts: bool
) -> None:
    repo = HubRepo(files=tiny_model())
    with HubServer({MODEL: repo}) as hub:
        first = get(hub, cache)
    with silent_endpoint(accepts=accepts) as endpoint:
        write_ref(cache, model=MODEL, revision="main", endpoint=endpoint, commit=repo.commit)
        # Were it patient, this would take minutes.
        patient = Retry(attempts=5, base_seconds=60, silence_seconds=60, brief_seconds=0.3)
        request = FetchRequest(model=MODEL, endpoint=endpoint, cache_dir=cache)
        found = fetch(request, progress=lambda _: None, retry=patient)
    assert (found, found.work.retries) == (first, 0)
    assert "no answer within 0.3 s" in caplog.text


def test_a_hub_that_stumbles_over_a_published_branch_is_not_waited_for(cache: Path) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        old = get(hub, cache)
        hub.push(MODEL, HubRepo(files=tiny_model(**{"tokenizer.json": b"[]"})))
        hub.fail("/revision/main", Status(503))
        assert get(hub, cache) == old
        assert get(hub, cache) != old


def test_an_expired_token_leaves_the_commit_that_the_branch_had_last(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        first = get(hub, cache)
        assert get(hub, cache, token=UNKNOWN) == first
    assert "TokenInvalid, using the commit resolved last" in caplog.text


def test_a_token_without_access_is_refused_whatever_is_published(cache: Path) -> None:
    repo = HubRepo(files=tiny_model(), private=True, tokens=frozenset({GOOD}))
    with HubServer({MODEL: repo}, tokens=frozenset({OTHER})) as hub:
        get(hub, cache, token=GOOD)
        with pytest.raises(FetchFailure) as raised:
            get(hub, cache, token=OTHER)
    assert raised.value.failure.reason is Reason.REPO_NOT_FOUND


def test_the_index_says_which_shards_belong_to_the_model(cache: Path) -> None:
    files = {
        "config.json": config(),
        "model.safetensors.index.json": weights_index(
            {"a": "first.safetensors", "b": "model-00002-of-00002.safetensors"}
        ),
        "first.safetensors": safetensors(name="a"),
        "model-00002-of-00002.safetensors": safetensors(name="b"),
        "model-00001-of-00003.safetensors": safetensors(name="left over"),
    }
    with HubServer({MODEL: HubRepo(files=files)}) as hub:
        assert names(get(hub, cache).path) == files.keys() - {"model-00001-of-00003.safetensors"}


def test_a_mirror_that_lists_names_alone_will_do(cache: Path) -> None:
    repo = HubRepo(files=tiny_model(), names_only=True)
    with HubServer({MODEL: repo}) as hub:
        hub.fail("model.safetensors", Cut(after=300))
        fetched = get(hub, cache)
    assert {name: (fetched.path / name).read_bytes() for name in names(fetched.path)} == repo.files


def test_code_comes_only_when_trusted_and_the_weights_only_once(cache: Path) -> None:
    files = tiny_model(
        **{"modeling_tiny.py": b"1", "sub/util.py": b"2", "config.json": config(auto_map={"AutoModel": "x"})}
    )
    with HubServer({MODEL: HubRepo(files=files)}) as hub:
        plain = get(hub, cache)
        trusted = get(hub, cache, trust_remote_code=True)
        assert len(hub.gets("model.safetensors")) == 1
        assert get(hub, cache) == plain
    assert names(plain.path) == files.keys() - {"modeling_tiny.py", "sub/util.py"}
    assert names(trusted.path) == files.keys()


def test_progress_ends_with_everything_and_counts_what_is_wanted(cache: Path) -> None:
    seen: list[Progress] = []
    files = tiny_model()
    with HubServer({MODEL: HubRepo(files=files)}) as hub:
        fetch(FetchRequest(model=MODEL, endpoint=hub.url, cache_dir=cache), progress=seen.append)
    total = sum(map(len, files.values()))
    assert {item.total_bytes for item in seen} == {total}
    assert [item.bytes for item in seen] == sorted(item.bytes for item in seen)
    assert seen[-1] == Progress(stage=Stage.VERIFY, bytes=total, total_bytes=total)


# What is continued, and what is repaired


def test_a_cut_download_goes_on_where_it_was_cut(cache: Path) -> None:
    repo = HubRepo(files=tiny_model(**{"model.safetensors": safetensors(50_000)}))
    with HubServer({MODEL: repo}) as hub:
        hub.fail("model.safetensors", Cut(after=20_000), Cut(after=5_000))
        fetched = get(hub, cache)
        assert [seen.range for seen in hub.gets("model.safetensors")] == [None, "bytes=20000-", "bytes=25000-"]
    assert (fetched.path / "model.safetensors").read_bytes() == repo.files["model.safetensors"]


def test_a_download_that_failed_goes_on_in_the_next_fetch(cache: Path) -> None:
    repo = HubRepo(files=tiny_model(**{"model.safetensors": safetensors(50_000)}))
    with HubServer({MODEL: repo}) as hub:
        hub.fail("model.safetensors", Cut(after=20_000), *[Status(503)] * FAST.attempts)
        assert failure(hub, cache).failure.reason is Reason.HUB_UNREACHABLE
        get(hub, cache)
        assert [seen.range for seen in hub.gets("model.safetensors")][-1] == "bytes=20000-"
        assert len(hub.gets("config.json")) == 1


@pytest.mark.parametrize("path", ["config.json", "model.safetensors", "/revision/main"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_stumbles_is_asked_again(cache: Path, path: str, status: int) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        hub.fail(path, Status(status), Status(status))
        get(hub, cache)


@pytest.mark.parametrize(
    "asks", [{"retry-after": "1"}, {"ratelimit": '"resolvers";r=0;t=1'}], ids=["Retry-After", "RateLimit"]
)
@pytest.mark.parametrize("path", ["/resolve/{commit}/config.json", "/revision/main"], ids=["a file", "the API"])
def test_a_hub_that_asks_to_wait_is_given_the_time(cache: Path, path: str, asks: dict[str, str]) -> None:
    repo = HubRepo(files=tiny_model())
    path = path.format(commit=repo.commit)
    with HubServer({MODEL: repo}) as hub:
        hub.fail(path, Status(429, headers=asks))
        get(hub, cache)
        first, second = [seen.at for seen in hub.requests if seen.path.endswith(path)]
    assert second >= first + 1


def test_a_server_that_falls_silent_is_left_and_the_download_goes_on(cache: Path) -> None:
    repo = HubRepo(files=tiny_model(**{"model.safetensors": safetensors(50_000)}))
    impatient = Retry(attempts=3, base_seconds=0.01, silence_seconds=0.5)
    with HubServer({MODEL: repo}) as hub:
        hub.fail("model.safetensors", Hold(after=20_000), Hold(after=5000))
        request = FetchRequest(model=MODEL, endpoint=hub.url, cache_dir=cache)
        fetched = fetch(request, progress=lambda _: None, retry=impatient)
        ranges = [seen.range for seen in hub.gets("model.safetensors")]
    assert ranges == [None, "bytes=20000-", "bytes=25000-"]
    assert fetched.work.retries == 2
    assert (fetched.path / "model.safetensors").read_bytes() == repo.files["model.safetensors"]


def test_a_file_that_arrives_damaged_is_fetched_again(cache: Path) -> None:
    repo = HubRepo(files=tiny_model())
    with HubServer({MODEL: repo}) as hub:
        hub.fail("model.safetensors", Garble())
        fetched = get(hub, cache)
    assert (fetched.path / "model.safetensors").read_bytes() == repo.files["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_always_arrives_damaged_is_never_published(cache: Path, name: str) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        hub.fail(name, Garble(), Garble())
        found = failure(hub, cache).failure
        assert (found.reason, found.retryable) == (Reason.CHECKSUM_MISMATCH, True)
        assert name in found.message
        get(hub, cache)


def test_a_damaged_cache_entry_is_replaced(cache: Path) -> None:
    repo = HubRepo(files=tiny_model())
    with HubServer({MODEL: repo}) as hub:
        path = get(hub, cache).path
        (path / "model.safetensors").write_bytes(b"short")
        assert get(hub, cache, revision=repo.commit).path == path
    assert (path / "model.safetensors").read_bytes() == repo.files["model.safetensors"]
    assert list((cache / "staging").iterdir()) == []


def test_a_lock_that_nobody_frees_is_waited_for_in_vain_only_so_long(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repo = HubRepo(files=tiny_model())
    entry = commit_entry(cache, model=MODEL, commit=repo.commit, code=False)
    entry.lock.parent.mkdir(parents=True)
    with HubServer({MODEL: repo}) as hub, entry.lock.open("w") as dead:
        fcntl.flock(dead, fcntl.LOCK_EX)
        request = FetchRequest(model=MODEL, endpoint=hub.url, cache_dir=cache)
        fetched = fetch(request, progress=lambda _: None, retry=replace(FAST, lock_seconds=0.3))
    assert published(cache) == [fetched.path]
    assert "going on without it" in caplog.text


def test_threads_that_want_one_commit_make_one_download(cache: Path) -> None:
    hold = Hold(after=500)
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub, ThreadPoolExecutor() as threads:
        hub.fail("model.safetensors", hold)
        first = threads.submit(get, hub, cache)
        assert hold.reached.wait(30)
        waits = threading.Event()

        def second() -> Fetched:
            request = FetchRequest(model=MODEL, endpoint=hub.url, cache_dir=cache)
            return fetch(request, progress=lambda _: waits.set(), retry=FAST)

        other = threads.submit(second)
        assert waits.wait(30)
        hold.released.set()
        assert first.result(30) == other.result(30)
        assert len(hub.gets("model.safetensors")) == 1


# What cannot be fetched


@pytest.mark.parametrize(
    ("repo", "options", "reason", "says"),
    [
        pytest.param(
            {"gated": True}, {}, Reason.GATED_NO_TOKEN, ["HF_TOKEN", f"https://huggingface.co/{MODEL}"], id="gated"
        ),
        pytest.param(
            {"gated": True},
            {"token": OTHER},
            Reason.GATED_NO_ACCESS,
            ["no access", f"https://huggingface.co/{MODEL}"],
            id="gated-without-access",
        ),
        pytest.param({"gated": True}, {"token": UNKNOWN}, Reason.TOKEN_INVALID, ["HF_TOKEN"], id="gated-unknown-token"),
        pytest.param({}, {"token": UNKNOWN}, Reason.TOKEN_INVALID, ["HF_TOKEN"], id="open-unknown-token"),
        pytest.param({"private": True}, {}, Reason.REPO_NOT_FOUND, [MODEL, "HF_TOKEN"], id="private"),
        pytest.param({"private": True}, {"token": OTHER}, Reason.REPO_NOT_FOUND, ["account"], id="private-other-token"),
        pytest.param({}, {"model": "org/none"}, Reason.REPO_NOT_FOUND, ["org/none"], id="no-such-repo"),
        pytest.param({}, {"model": "a--b/c"}, Reason.REPO_NOT_FOUND, ["a--b/c"], id="impossible-name"),
        pytest.param({}, {"revision": "v9"}, Reason.REVISION_NOT_FOUND, ["v9"], id="no-such-branch"),
        pytest.param({}, {"revision": "0" * 40}, Reason.REVISION_NOT_FOUND, ["0" * 40], id="no-such-commit"),
    ],
)
def test_what_the_hub_refuses_becomes_a_reason_and_an_advice(
    cache: Path, repo: dict[str, Any], options: dict[str, Any], reason: Reason, says: list[str]
) -> None:
    served = HubRepo(files=tiny_model(), tokens=frozenset({GOOD}), **repo)
    with HubServer({MODEL: served}, tokens=frozenset({OTHER})) as hub:
        found = failure(hub, cache, **options).failure
        assert hub.gets("model.safetensors") == []
        asked = [(seen.method, seen.path) for seen in hub.requests]
    assert len(asked) == len(set(asked)), "to ask again cannot help"
    assert (found.reason, found.retryable) == (reason, False)
    assert [text for text in says if text not in found.message] == []


@pytest.mark.parametrize("kind", [{"gated": True}, {"private": True}], ids=["gated", "private"])
def test_a_token_with_access_opens_a_closed_repository_and_never_reaches_the_storage(
    cache: Path, kind: dict[str, Any]
) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model(), tokens=frozenset({GOOD}), **kind)}) as hub:
        get(hub, cache, token=GOOD)
        assert {seen.token for seen in hub.requests if seen.cdn} == {None}


def files_without(*removed: str, **added: bytes) -> dict[str, bytes]:
    return {name: content for name, content in tiny_model(**added).items() if name not in removed}


@pytest.mark.parametrize(
    ("files", "reason", "says"),
    [
        pytest.param(files_without("config.json"), Reason.CONFIG_INVALID, "config.json", id="no-config"),
        pytest.param(tiny_model(**{"config.json": b"{"}), Reason.CONFIG_INVALID, "JSON", id="broken-config"),
        pytest.param(files_without("model.safetensors"), Reason.NO_USABLE_WEIGHTS, "no weights", id="no-weights"),
        pytest.param(
            files_without("model.safetensors", **{"adapter_model.safetensors": safetensors()}),
            Reason.NO_USABLE_WEIGHTS,
            "adapter",
            id="adapter",
        ),
        pytest.param(
            files_without(
                "model.safetensors", **{"model.safetensors.index.json": weights_index({"a": "gone.safetensors"})}
            ),
            Reason.NO_USABLE_WEIGHTS,
            "gone.safetensors",
            id="missing-shard",
        ),
        pytest.param(
            tiny_model(**{"model.safetensors": safetensors()[:-1]}),
            Reason.WEIGHTS_INVALID,
            "damaged",
            id="truncated-weights",
        ),
        pytest.param(
            tiny_model(**{"config.json": config(model_type="novel", auto_map={"AutoConfig": "c.C"})}),
            Reason.REMOTE_CODE_REQUIRED,
            "trustRemoteCode",
            id="needs-code",
        ),
    ],
)
def test_a_repository_that_cannot_be_served_is_refused(
    cache: Path, files: dict[str, bytes], reason: Reason, says: str
) -> None:
    with HubServer({MODEL: HubRepo(files=files)}) as hub:
        found = failure(hub, cache).failure
        assert reason is Reason.WEIGHTS_INVALID or hub.gets("safetensors") == []
    assert (found.reason, found.retryable) == (reason, False)
    assert says in found.message


def test_weights_that_cannot_fit_are_not_asked_for(cache: Path) -> None:
    size = 10**18
    with HubServer({MODEL: HubRepo(files=tiny_model(), listed_sizes={"model.safetensors": size})}) as hub:
        found = failure(hub, cache).failure
        assert hub.gets("model.safetensors") == []
    assert found.reason is Reason.NO_SPACE
    assert f"({size} bytes) needed" in found.message
    assert "bytes) free" in found.message


@pytest.mark.parametrize("names", [("pytorch_model.bin",), ("a.Q8_0.gguf",)], ids=["pickle", "gguf"])
def test_what_would_not_fit_once_converted_is_not_asked_for(cache: Path, names: tuple[str]) -> None:
    elements = 10**15
    content = {"config.json": config(), names[0]: gguf_beginning(elements)}
    # The download alone would fit.
    size = int(shutil.disk_usage(cache.parent).free * 0.6) if names[0].endswith(".bin") else len(content[names[0]])
    converted = size if names[0].endswith(".bin") else 4 * elements
    with HubServer({MODEL: HubRepo(files=content, listed_sizes={names[0]: size})}) as hub:
        found = failure(hub, cache).failure
        assert len(hub.gets(names[0])) == names[0].endswith(".gguf"), "of a GGUF file its header is read"
    assert found.reason is Reason.NO_SPACE
    assert f"({size + converted} bytes) needed" in found.message
    assert "bytes) free" in found.message
    assert list(cache.glob("staging/*/download/*.partial")) == []


@pytest.mark.parametrize(
    "place", [pytest.param(".", id="root"), pytest.param("staging", id="staging"), pytest.param("models", id="models")]
)
def test_a_cache_that_cannot_be_written_is_named(cache: Path, place: str) -> None:
    blocked = cache / place
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a directory should be")
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        found = failure(hub, cache).failure
    assert found.reason is Reason.CACHE_NOT_WRITABLE
    assert str(cache) in found.message


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        pytest.param(Status(503), True, id="down"),
        pytest.param(Status(418), False, id="odd-status"),
        pytest.param(Body("<html>log in</html>"), False, id="captive-portal"),
        pytest.param(Body("[]"), False, id="not-a-hub"),
    ],
)
def test_an_endpoint_that_does_not_answer_as_a_hub_is_unreachable(cache: Path, fault: Any, retryable: bool) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        hub.fail("/revision/main", *[fault] * FAST.attempts)
        found = failure(hub, cache).failure
        assert hub.url in found.message
    assert (found.reason, found.retryable) == (Reason.HUB_UNREACHABLE, retryable)


@pytest.mark.parametrize("path", ["/revision/main", "model.safetensors"], ids=["api", "storage"])
def test_a_403_that_is_not_the_hubs_is_blamed_on_whoever_sent_it(cache: Path, path: str) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model())}) as hub:
        hub.fail(path, Status(403))
        found = failure(hub, cache, token=None).failure
    assert (found.reason, found.retryable) == (Reason.HUB_UNREACHABLE, False)
    for text in ("127.0.0.1 (BaseHTTP", "answered 403", "proxy"):
        assert text in found.message


def test_a_403_that_says_why_is_the_hubs(cache: Path) -> None:
    says = "Please enable access to public gated repositories in your fine-grained token settings"
    with HubServer({MODEL: HubRepo(files=tiny_model())}, tokens=frozenset({OTHER})) as hub:
        hub.fail("/revision/main", Status(403, says))
        assert failure(hub, cache, token=OTHER).failure.reason is Reason.GATED_NO_ACCESS


def test_an_endpoint_that_nobody_listens_at_is_unreachable(cache: Path) -> None:
    with HubServer({}) as hub:
        pass
    found = failure(hub, cache).failure
    assert (found.reason, found.retryable) == (Reason.HUB_UNREACHABLE, True)
    assert hub.url in found.message


def test_a_listed_file_that_the_mirror_lacks_is_named(cache: Path) -> None:
    with HubServer({MODEL: HubRepo(files=tiny_model(), missing=frozenset({"tokenizer.json"}))}) as hub:
        found = failure(hub, cache).failure
    assert (found.reason, found.retryable) == (Reason.HUB_UNREACHABLE, True)
    assert "tokenizer.json" in found.message


# The server these tests stand on


def test_the_server_speaks_the_hub_api_as_huggingface_hub_uses_it(tmp_path: Path) -> None:
    repo = HubRepo(files=tiny_model(), gated=True, tokens=frozenset({GOOD}))
    with HubServer({MODEL: repo}) as hub:
        one = hf_hub_download(MODEL, "config.json", cache_dir=tmp_path / "a", endpoint=hub.url, token=GOOD)
        everything = snapshot_download(MODEL, cache_dir=tmp_path / "b", endpoint=hub.url, token=GOOD, max_workers=1)
    assert Path(one).read_bytes() == repo.files["config.json"]
    assert {path.name: path.read_bytes() for path in Path(everything).iterdir()} == repo.files
