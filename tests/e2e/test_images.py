"""The images that the Dockerfiles make, run as Kubernetes runs them: nobody in particular, on a read-only root."""

import json
import os
import re
import signal
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from cluster.errors import ClusterError
from images.build import build, require_machine
from images.containers import Container, Mount, container_of
from images.names import IMAGES
from support.tiny_weights import tiny_llama, write_gguf

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

USER: Final = 65532
PATIENCE: Final = 120.0  # seconds, on a busy machine
# The GPU image differs in the build of torch alone, and is not built where nothing could run it.
BUILT: Final = ("operator", "runtime")
PACKAGES: Final = {"operator": ("api", "operator", "router"), "runtime": ("api", "runtime")}

IMPORT_ALL: Final = """
import importlib, os, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
cached = {module.__spec__.cached for module in list(sys.modules.values()) if getattr(module, "__spec__", None)}
print(*sorted(path for path in cached if path and not os.path.exists(path)), sep="\\n")
"""

# A source file without bytecode that is valid whatever happens to file times.
WITHOUT_BYTECODE: Final = """
import importlib.util, pathlib, sys, sysconfig
NOT_IMPORTED = {"dist-packages", "site-packages", "lib2to3"}
sources = list(pathlib.Path("/opt/hfmodel").rglob("*.py"))
stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
sources += [path for path in stdlib.rglob("*.py") if NOT_IMPORTED.isdisjoint(path.relative_to(stdlib).parts)]
expected = importlib.util.MAGIC_NUMBER + b"\\1\\0\\0\\0"
for source in sources:
    cached = pathlib.Path(importlib.util.cache_from_source(source))
    if not cached.exists() or cached.read_bytes()[:8] != expected:
        print(source)
assert len(sources) > 1000
"""


@pytest.fixture(scope="module")
def container() -> Iterator[Callable[[str], Container]]:
    """Containers of an image, by the image's name."""
    try:
        require_machine()
    except ClusterError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(container_of(name, report=print)))


@pytest.fixture(params=BUILT)
def image(request: pytest.FixtureRequest, container: Callable[[str], Container]) -> tuple[str, Container]:
    return request.param, container(request.param)


@pytest.fixture
def operator(container: Callable[[str], Container]) -> Container:
    return container("operator")


@pytest.fixture
def runtime(container: Callable[[str], Container]) -> Container:
    return container("runtime")


def test_an_archive_says_under_which_name_it_is_imported(image: tuple[str, Container]) -> None:
    name, container = image
    with tarfile.open(container.archive) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        assert [each["RepoTags"] for each in json.load(manifest)] == [[IMAGES[name].reference()]]


def test_nothing_is_built_twice(image: tuple[str, Container]) -> None:
    name, _ = image
    lines: list[str] = []
    archive = build(name, report=lines.append)
    written = archive.stat().st_mtime_ns
    assert build(name, report=lines.append) == archive
    assert archive.stat().st_mtime_ns == written
    assert lines == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(("hfmodel-operator", "--help"), "usage: hfmodel-operator", id="operator"),
        pytest.param(("hfmodel-operator", "--version"), "hfmodel 0.", id="version of the operator"),
        pytest.param(("hfmodel-router", "--version"), "0.", id="version of the router"),
    ],
)
def test_operator_and_router_are_commands_of_one_image(
    operator: Container, command: tuple[str, ...], said: str
) -> None:
    assert said in operator.run(*command)


def test_by_default_the_operator_runs_and_says_which_setting_it_misses(operator: Container) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        operator.run()
    assert failed.value.output.startswith("hfmodel-operator: WATCH_NAMESPACE is not set")
    assert "Traceback" not in failed.value.output


def test_the_router_listens_on_every_interface_and_ends_at_sigterm(operator: Container) -> None:
    with operator.started("hfmodel-router", "--port", "0") as process:
        line = until_line(process, r"serving on (\S+)")
        assert line[1].startswith("http://0.0.0.0:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_the_runtime_image_takes_arguments_or_a_command(runtime: Container) -> None:
    assert "usage: hfmodel-runtime {serve" in runtime.run()
    assert "--model-dir" in runtime.run(*runtime.entrypoint, "serve", "--help")
    assert "--model-dir" in runtime.run("hfmodel-runtime", "serve", "--help")


def test_every_module_of_ours_can_be_imported_from_bytecode(image: tuple[str, Container]) -> None:
    name, container = image
    packages = [f"hfmodel_{part}" for part in PACKAGES[name]]
    assert container.run("python", "-c", IMPORT_ALL, *packages).split() == []


def test_no_source_is_without_bytecode(image: tuple[str, Container]) -> None:
    assert image[1].run("python", "-c", WITHOUT_BYTECODE).split() == []


def test_an_image_has_only_the_packages_that_it_runs(image: tuple[str, Container]) -> None:
    name, container = image
    found = {path.name for path in site_packages(container).glob("hfmodel_*")}
    assert found == {f"hfmodel_{part}" for part in PACKAGES[name]}
    assert not list(site_packages(container).glob("pip*"))


def test_nothing_of_the_machine_that_built_it_is_inside(image: tuple[str, Container]) -> None:
    root = image[1].root
    assert [path.name for path in (root / "opt").iterdir()] == ["hfmodel"]
    assert not [path for path in ("etc/pip.conf", "root/.cache", "src", "own", "wheel") if (root / path).exists()]


def test_nobody_can_change_it_and_nothing_gives_rights(image: tuple[str, Container]) -> None:
    files = [path for path in (image[1].root / "opt/hfmodel").rglob("*") if not path.is_symlink()]
    assert files
    bad = stat.S_IWOTH | stat.S_IWGRP | stat.S_ISUID | stat.S_ISGID
    assert [path for path in files if path.stat().st_mode & bad or path.stat().st_uid != 0] == []


def test_the_root_is_read_only_and_the_user_nobody_in_particular(image: tuple[str, Container]) -> None:
    assert image[1].run("id", "-u").strip() == str(USER)
    assert image[1].run("sh", "-c", "whoami; touch /opt/hfmodel/x 2>/dev/null || echo no").split() == ["hfmodel", "no"]


def test_the_runtime_fetches_and_serves_a_model(runtime: Container, tmp_path: Path) -> None:
    fetched, cache_mount = fetch(runtime, tmp_path)
    options = ("--model-dir", fetched, "--model-id", "tiny", "--port", "0", "--threads", "2")
    with runtime.started("hfmodel-runtime", "serve", *options, mounts=[cache_mount]) as process:
        port = until_line(process, r"listening .*\bport=(\d+)")[1]
        url = f"http://127.0.0.1:{port}"
        until_line(process, r" ready .*\ballocator=tcmalloc\b")
        until_ready(url, process)
        answer = httpx.post(f"{url}/generate", json={"text": "the", "max_new_tokens": 4}, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        assert answer.json()["generated_text"][0].startswith("the")
        assert health(runtime, port) == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert health(runtime, port) == 1


def fetch(runtime: Container, folder: Path) -> tuple[str, Mount]:
    """A GGUF file converted into a cache, as an init container does it: the model's path there, and the cache."""
    source, cache_folder = folder / "source", folder / "cache"
    source.mkdir()
    write_gguf(tiny_llama(), source / "tiny.gguf")
    cache_folder.mkdir()
    os.chown(cache_folder, USER, USER)
    mounts = [Mount(source=source, target="/source"), Mount(source=cache_folder, target="/cache", read_only=False)]
    command = ("hfmodel-runtime", "fetch", "--path", "/source/tiny.gguf", "--cache-dir", "/cache")
    output = runtime.run(*command, mounts=mounts)
    events: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert events[-1]["event"] == "done"
    return events[-1]["path"], Mount(source=cache_folder, target="/cache")


def health(container: Container, port: str) -> int:
    """The exit status of the image's HEALTHCHECK, asking `port`."""
    kind, *command = container.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    try:
        container.run(*command, env={"HFMODEL_PORT": port})
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def until_line(process: "subprocess.Popen[str]", pattern: str) -> re.Match[str]:
    seen: list[str] = []
    for line in process.stdout or ():
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    pytest.fail(f"it ended before it said {pattern!r}: {seen}")


def until_ready(url: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_ready(url):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def site_packages(container: Container) -> Path:
    (found,) = (container.root / "opt/hfmodel/lib").glob("python3*/site-packages")
    return found
