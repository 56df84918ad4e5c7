"""Fills the cache: Kubernetes' commands compiled from Debian's source package, etcd from its binary package.

Once per machine, about eight minutes on two cores, without root. An interrupted build goes on where it stopped; a lock
keeps a second build waiting; only the binaries stay.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.binaries import KUBERNETES_VERSION, cache_folder
from cluster.commands import NicedRunner
from cluster.debian import Debian
from cluster.errors import ClusterError
from cluster.golang import KubernetesTree
from cluster.steps import Report, Step, run_steps

ETCD: Final = "etcd"
KUBERNETES_COMMANDS: Final = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_WORK: Final = "build"
_RELEASE: Final = "bookworm"
_TOOLCHAIN: Final = ("golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev")


def build(
    commands: Sequence[str] = KUBERNETES_COMMANDS, *, report: Report, jobs: int | None = None, cache: Path | None = None
) -> Path:
    """Put `commands` and etcd into the cache, unless they are there; returns the cache's folder.

    Args:
        commands: of KUBERNETES_COMMANDS.
        report: takes progress lines.
        jobs: packages compiled at a time; one per processor unless told.
        cache: the folder to fill; the user's cache unless told.

    Raises:
        ClusterError: an unknown command, the machine lacks something, or a step fails; the build's log is named.
    """
    unknown = set(commands) - set(KUBERNETES_COMMANDS)
    if unknown:
        raise ClusterError(f"no such command: {', '.join(sorted(unknown))} (of {', '.join(KUBERNETES_COMMANDS)})")
    folder = cache or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock", report=report):
        missing = [name for name in (ETCD, *commands) if not (folder / name).exists()]
        if missing:
            _build_missing(missing, folder=folder, jobs=jobs or os.cpu_count() or 1, report=report)
        # Also what is left of a build that was cut off after its last binary.
        shutil.rmtree(folder / _WORK, ignore_errors=True)
    return folder


def _build_missing(missing: Sequence[str], *, folder: Path, jobs: int, report: Report) -> None:
    work = folder / _WORK
    work.mkdir(exist_ok=True)
    started = time.monotonic()
    run_steps(_steps(missing, work=work, jobs=jobs), folder=work / "steps", report=report)
    for name in missing:
        (work / "bin" / name).replace(folder / name)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / 1e6
    report(f"built in {time.monotonic() - started:.0f} s; {folder} holds {size:.0f} MB")


def _steps(missing: Sequence[str], *, work: Path, jobs: int) -> list[Step]:
    run = NicedRunner(work / "build.log")
    debian = Debian(root=work / "debian", release=_RELEASE, run=run)
    steps = [Step("index", f"reading Debian {_RELEASE}'s index", debian.update)]
    if ETCD in missing:
        steps.append(Step("etcd", "fetching etcd", lambda: _take_etcd(debian, work / "bin")))
    commands = [name for name in missing if name != ETCD]
    if commands:
        system = work / "debian" / "root"
        tree = KubernetesTree(work=work, system=system, version=KUBERNETES_VERSION, run=run, jobs=jobs)
        steps += _compile_steps(commands, tree=tree, debian=debian, output=work / "bin")
    return steps


def _compile_steps(commands: Sequence[str], *, tree: KubernetesTree, debian: Debian, output: Path) -> list[Step]:
    names = ", ".join(commands)
    version = KUBERNETES_VERSION.removeprefix("v")
    return [
        Step("toolchain", "fetching the Go compiler", lambda: debian.unpack_packages(*_TOOLCHAIN)),
        Step(
            "source",
            f"fetching the source of Kubernetes {version}",
            lambda: debian.unpack_source("kubernetes", version=version, into=tree.path),
        ),
        Step("adapt", "adapting the source to the compiler", tree.adapt_to_compiler),
        Step("openapi", "generating the OpenAPI code", tree.generate_openapi),
        Step(f"compile-{'-'.join(commands)}", f"compiling {names} (minutes)", lambda: tree.build(commands, output)),
    ]


def _take_etcd(debian: Debian, output: Path) -> None:
    output.mkdir(exist_ok=True)
    shutil.copy2(debian.unpack_packages("etcd-server") / "usr/bin/etcd", output / ETCD)


@contextmanager
def _locked(path: Path, *, report: Report) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another build is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
