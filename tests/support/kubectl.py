"""kubectl as a person uses it, on one cluster and in one namespace."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2

Json = dict[str, Any]


class KubectlFailed(AssertionError):
    """kubectl said no; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs the program `binary`; every call goes to `namespace`."""

    binary: Path
    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, given: str | None = None, timeout: float = _SECONDS) -> str:
        """What it prints; `given` is its stdin, `timeout` is in seconds.

        Raises:
            KubectlFailed: it exits with other than 0.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self("apply", "--filename=-", given=yaml.safe_dump_all(manifests))

    def get(self, kind: str, name: str) -> Json | None:
        """The object, or None if there is none."""
        found = self("get", kind, name, "--ignore-not-found", "--output=json")
        return json.loads(found) if found else None

    def list(self, kind: str, **labels: str) -> list[Json]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        items: list[Json] = json.loads(self("get", kind, f"--selector={selector}", "--output=json"))["items"]
        return items

    def until(self, what: str, holds: Callable[[], object], *, seconds: float = _SECONDS) -> None:
        """Return as soon as `holds()`; fails with what there is in the namespace when it does not come true."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain: {what}\n{self.picture()}")
            time.sleep(_POLL_SECONDS)

    def picture(self) -> str:
        """What a person would look at when something does not come."""
        found = [self("get", "hfmodels,pods,jobs", "--output=wide"), self("get", "events", "--sort-by=.lastTimestamp")]
        for pod in self.list("pods"):
            name = pod["metadata"]["name"]
            found.append(f"--- {name}\n{self._log_of(name)}")
        return "\n".join(found)

    def _log_of(self, pod: str) -> str:
        try:
            return self("logs", pod, "--all-containers", "--tail=25")
        except KubectlFailed as error:
            return str(error)
