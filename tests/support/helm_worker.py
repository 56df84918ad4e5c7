"""Helm's releases, made by a process of its own.

Helm's engine keeps what it learns of servers below the user's home, unless the environment that its process began with
names another folder.
"""

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from helm_python import Config, _native

from support.helm import CHART, Values

_CACHE_FOLDER: Final = "KUBECACHEDIR"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Helm:
    """Releases in one namespace; every method raises HelmError as Helm's command line would fail."""

    process: ProcessPoolExecutor
    kubeconfig: Path
    namespace: str

    def install(self, name: str, values: Values, *, server_side: bool = True) -> None:
        self._do(_install, name, dict(values), server_side)

    def upgrade(self, name: str, values: Values) -> None:
        self._do(_upgrade, name, dict(values))

    def rollback(self, name: str) -> None:
        """To the revision before."""
        self._do(_rollback, name)

    def uninstall(self, name: str) -> None:
        self._do(_uninstall, name)

    def test(self, name: str) -> None:
        """What `helm test` does."""
        self._do(_test, name)

    def revisions(self, name: str) -> list[int]:
        return self._do(_revisions, name)

    def names(self) -> list[str]:
        """Of all releases, in whatever state."""
        return self._do(_names)

    def _do(self, action: Callable[..., T], *arguments: Any) -> T:
        return self.process.submit(_with_config, action, self.kubeconfig, self.namespace, arguments).result()


@contextmanager
def helm_process() -> Iterator[ProcessPoolExecutor]:
    """For the length of the block; what its engine remembers goes with it."""
    with tempfile.TemporaryDirectory(prefix="hfmodel-helm-") as folder, _environment({_CACHE_FOLDER: folder}):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
            # It starts with its first task, and must start with this environment.
            process.submit(os.getpid).result()
            yield process


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _with_config(action: Callable[..., T], kubeconfig: Path, namespace: str, arguments: tuple[Any, ...]) -> T:
    with Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
        return action(config, namespace, *arguments)


def _install(config: Config, namespace: str, name: str, values: Values, server_side: bool) -> None:
    options = {"namespace": namespace, "server_side_apply": server_side}
    # `Config.install` does not have that option.
    none, chart = _native.HANDLE(0), str(CHART)
    arguments = (none, none, chart, name, json.dumps(values), json.dumps(options))
    _native.call_string("helm_install", config._raw(), *arguments)


def _upgrade(config: Config, namespace: str, name: str, values: Values) -> None:
    config.upgrade(CHART, name, dict(values), namespace=namespace)


def _rollback(config: Config, _namespace: str, name: str) -> None:
    config.rollback(name)


def _uninstall(config: Config, _namespace: str, name: str) -> None:
    config.uninstall(name)


def _test(config: Config, _namespace: str, name: str) -> None:
    config.test(name)


def _revisions(config: Config, _namespace: str, name: str) -> list[int]:
    return [release["revision"] for release in config.history(name)]


def _names(config: Config, _namespace: str) -> list[str]:
    return [release["name"] for release in config.list(all_states=True)]
