"""What the operating system says, as a reason and a sentence."""

import errno
import os
from pathlib import Path

import pytest

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch import FetchFailure, FetchRequest
from hfmodel_runtime.fetch.errors import VolumeFull, failure_of, noting_needed
from hfmodel_runtime.fetch.sizes import ensure_space, tree_bytes

CACHE = Path("/cache")


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/cache/staging/x")


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        pytest.param(os_error(errno.ENOSPC), Reason.NO_SPACE, False, id="full"),
        pytest.param(os_error(errno.EDQUOT), Reason.NO_SPACE, False, id="quota"),
        pytest.param(os_error(errno.EFBIG), Reason.NO_SPACE, False, id="file-too-big"),
        pytest.param(os_error(errno.EACCES), Reason.CACHE_NOT_WRITABLE, False, id="no-permission"),
        pytest.param(os_error(errno.EROFS), Reason.CACHE_NOT_WRITABLE, False, id="read-only"),
        pytest.param(os_error(errno.ENOTDIR), Reason.CACHE_NOT_WRITABLE, False, id="not-a-directory"),
        pytest.param(os_error(errno.ESTALE), Reason.CACHE_NOT_WRITABLE, True, id="stale-mount"),
        pytest.param(os_error(errno.EIO), Reason.CACHE_NOT_WRITABLE, True, id="io-error"),
        pytest.param(MemoryError(), Reason.OUT_OF_MEMORY, False, id="memory"),
        pytest.param(ArithmeticError("?"), Reason.CRASH_LOOP, True, id="a-bug"),
    ],
)
@pytest.mark.parametrize("source", [{"model": "a/b"}, {"path": Path("/m")}], ids=["hub", "local"])
def test_every_error_has_a_reason(error: Exception, reason: Reason, retryable: bool, source: dict[str, str]) -> None:
    failure = failure_of(error, FetchRequest(cache_dir=CACHE, **source)).failure  # type: ignore[arg-type]
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert failure.message


@pytest.mark.parametrize(
    ("number", "retryable"),
    [pytest.param(errno.EACCES, False, id="no-permission"), pytest.param(errno.EIO, True, id="io-error")],
)
def test_a_source_that_cannot_be_read_is_not_blamed_on_the_cache(number: int, retryable: bool) -> None:
    error = OSError(number, os.strerror(number), "/source/model.safetensors")
    failure = failure_of(error, FetchRequest(cache_dir=CACHE, path=Path("/source"))).failure
    assert (failure.reason, failure.retryable) == (Reason.PATH_NOT_FOUND, retryable)
    assert "/source/model.safetensors" in failure.message


def test_a_failure_stays_what_it_is() -> None:
    failure = FetchFailure(Reason.NO_SPACE, "full")
    assert failure_of(failure, FetchRequest(cache_dir=CACHE, model="a/b")) is failure


def test_a_volume_that_ran_full_gives_the_numbers_that_are_known(tmp_path: Path) -> None:
    request = FetchRequest(cache_dir=tmp_path, model="a/b")
    with pytest.raises(VolumeFull) as raised, noting_needed(lambda: 12_345):
        raise os_error(errno.ENOSPC)
    said = failure_of(raised.value, request).failure
    assert said.reason is Reason.NO_SPACE
    assert "12.3 kB (12345 bytes) still needed" in said.message
    assert "bytes) free" in said.message
    assert "bytes) free" in failure_of(os_error(errno.ENOSPC), request).failure.message


def test_a_quota_says_nothing_of_what_the_volume_has(tmp_path: Path) -> None:
    message = str(failure_of(os_error(errno.EDQUOT), FetchRequest(cache_dir=tmp_path, model="a/b")))
    assert "quota" in message.lower()
    assert "free" not in message


def test_only_a_full_volume_needs_a_number() -> None:
    with pytest.raises(PermissionError), noting_needed(lambda: pytest.fail("nobody asks")):
        raise os_error(errno.EACCES)


def test_work_that_does_not_fit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    ensure_space(tmp_path, needed=1, what="a byte")
    with pytest.raises(FetchFailure, match=r"1\.0 PB \(1000000000000000 bytes\) needed, .* bytes\) free") as raised:
        ensure_space(tmp_path, needed=10**15, what="too much")
    assert raised.value.failure.reason is Reason.NO_SPACE


def test_a_tree_counts_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"123")
    (tmp_path / "a" / "b" / "two").write_bytes(b"45")
    assert tree_bytes(tmp_path) == 5
    assert tree_bytes(tmp_path / "none") == 0
