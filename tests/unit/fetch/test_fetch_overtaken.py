"""Where locks do not work, whoever's conversion is taken away waits for the other one instead of failing."""

import errno
from pathlib import Path

import pytest

from hfmodel_runtime.fetch import Fetched
from hfmodel_runtime.fetch.cache import Entry, publish, published
from hfmodel_runtime.fetch.overtaken import built
from support.model_files import tiny_model


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Entry(tmp_path, "org--name", "0" * 40)


def publish_it(entry: Entry) -> Fetched:
    directory = entry.staging / "converted-other"
    directory.mkdir(parents=True)
    for name, content in tiny_model().items():
        (directory / name).write_bytes(content)
    publish(entry, directory, origin={})
    found = published(entry, revision="r")
    assert found is not None
    return found


def taken_away(entry: Entry) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "gone", str(entry.staging / "converted-mine" / "model.safetensors"))


def test_what_the_other_one_publishes_is_the_answer(entry: Entry) -> None:
    def overtaken() -> Fetched:
        publish_it(entry)
        raise taken_away(entry)

    found = built(overtaken, entry, revision="r", patience=30.0)
    assert found == published(entry, revision="r")


def test_when_the_other_one_falls_silent_the_work_begins_again(entry: Entry) -> None:
    tries = []

    def overtaken_once() -> Fetched:
        tries.append(1)
        if len(tries) == 1:
            raise taken_away(entry)
        return publish_it(entry)

    assert built(overtaken_once, entry, revision="r", patience=0.2).path == entry.target
    assert len(tries) == 2


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone", "/elsewhere"), PermissionError(errno.EACCES, "no", "/cache")]
)
def test_any_other_failure_is_one_at_once(entry: Entry, error: OSError) -> None:
    def fails() -> Fetched:
        raise error

    with pytest.raises(type(error)):
        built(fails, entry, revision="r", patience=30.0)
