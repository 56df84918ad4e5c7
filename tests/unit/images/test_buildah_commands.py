"""buildah is called with a storage of our own, and never asked for what only a registry has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from images.buildah import Buildah


class Recorder:
    """A Runner that notes commands, answers what it is told to, and fails where `fails` is part of a command."""

    def __init__(self, *, answer: str = "", fails: str = "\0") -> None:
        self.commands: list[Sequence[str]] = []
        self.answer = answer
        self.fails = fails

    def __call__(self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        self.commands.append(command)
        if self.fails in " ".join(command):
            raise ClusterError("broken")
        return self.answer


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A buildah to be found on PATH; nothing runs it."""
    path = tmp_path / "bin" / "buildah"
    path.parent.mkdir()
    path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    return path


def make(recorder: Recorder, folder: Path) -> Buildah:
    return Buildah(folder, run=recorder, log=folder / "log")


def test_every_command_works_on_a_storage_of_our_own(program: Path, tmp_path: Path) -> None:
    recorder = Recorder(answer="abc\n")
    buildah = make(recorder, tmp_path)
    assert buildah.has("ours")
    buildah.tag("ours", "name")
    assert all(command[:2] == [str(program), f"--root={tmp_path}/storage"] for command in recorder.commands)
    assert all("--storage-driver=overlay" in command for command in recorder.commands)


def test_a_file_system_without_overlays_gets_copies(program: Path, tmp_path: Path) -> None:
    recorder = Recorder(fails="--storage-driver=overlay")
    make(recorder, tmp_path).tag("ours", "name")
    assert "--storage-driver=vfs" in recorder.commands[-1]


def test_a_build_keeps_to_what_is_there(program: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    make(recorder, tmp_path).build(
        tmp_path / "Dockerfile.operator",
        context=tmp_path,
        arguments={"VERSION": "1"},
        volumes={Path("/wheels"): "/wheels"},
    )
    command = recorder.commands[-1]
    assert {"--pull-never", "--layers", "--format=docker", "--build-arg=VERSION=1"} <= set(command)
    assert "--volume=/wheels:/wheels:ro" in command
    assert command[-1] == str(tmp_path)


def test_an_image_that_cannot_be_inspected_is_not_there(program: Path, tmp_path: Path) -> None:
    assert not make(Recorder(fails="inspect"), tmp_path).has("ours")


def test_what_a_build_left_is_removed_but_not_what_it_downloaded(program: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    buildah = make(recorder, tmp_path)
    for name in ("buildah371207082", "storage12", "buildah-cache", "buildah-cache-0"):
        (tmp_path / "tmp" / name / "in").mkdir(parents=True)
    buildah.clean()
    assert recorder.commands[-1][-2:] == ["rm", "--all"]
    assert sorted(path.name for path in (tmp_path / "tmp").iterdir()) == ["buildah-cache", "buildah-cache-0"]


def test_a_container_is_removed_also_after_an_error(program: Path, tmp_path: Path) -> None:
    recorder = Recorder(answer="box\n", fails=" commit ")
    with pytest.raises(ClusterError):
        make(recorder, tmp_path).commit(tmp_path, "ours", variables={"PATH": "/bin"})
    assert recorder.commands[-1][-2:] == ["rm", "box"]
