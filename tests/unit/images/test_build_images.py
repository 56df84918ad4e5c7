"""`images.build`: what it says when it cannot build, and when there is nothing to do."""

import fcntl
import threading
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from images.build import build, require_machine
from images.cache import cache_folder, locked
from images.names import IMAGES


def nothing(_: str) -> None:
    """Takes progress lines."""


def test_images_are_found_under_the_names_that_manifests_use() -> None:
    assert [image.reference() for image in IMAGES.values()] == [
        "docker.io/hfmodel/operator:dev",
        "docker.io/hfmodel/runtime:dev",
        "docker.io/hfmodel/runtime-gpu:dev",
    ]
    assert IMAGES["operator"].reference("0.1.0") == "docker.io/hfmodel/operator:0.1.0"


def test_an_unknown_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no such image: router"):
        build("router", report=nothing, cache=tmp_path)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="buildah is missing: sudo apt-get install buildah"):
        require_machine()


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="needs root"):
        require_machine()


def test_the_cache_is_where_the_variable_says() -> None:
    assert cache_folder({"HFMODEL_TEST_CACHE": "/var/cache/hfmodel"}) == Path("/var/cache/hfmodel/images")
    assert cache_folder({}) == Path.home() / ".cache/hfmodel/images"


def test_a_second_build_waits_for_the_first(tmp_path: Path) -> None:
    waiting, lines = threading.Event(), list[str]()

    def report(line: str) -> None:
        lines.append(line)
        waiting.set()

    def second() -> None:
        with locked(tmp_path, report=report):
            lines.append("in")

    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        assert lines == ["another build of images is running; waiting for it"]
    thread.join(10)
    assert lines[1:] == ["in"]
