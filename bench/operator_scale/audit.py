"""What was asked of the API server, by its audit log: nothing is missed and nothing is guessed."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Calls = Counter[str]

_FILE_FLAGS = {"audit-log-path": "audit.log", "audit-policy-file": "audit-policy.json"}


def flags(folder: Path, *, user: str) -> dict[str, str]:
    """The API server's flags for an audit log in `folder` of what `user` asks; writes its policy there."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [user]}, {"level": "None"}],
    }
    (folder / _FILE_FLAGS["audit-policy-file"]).write_text(json.dumps(policy))
    return {flag: str(folder / name) for flag, name in _FILE_FLAGS.items()}


class Audit:
    """Reads the log in `folder` on, from where it was read last."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / _FILE_FLAGS["audit-log-path"]
        self._offset = 0

    def calls(self) -> Calls:
        """How often each `verb resource` was asked since the last look."""
        if not self._log.exists():
            return Counter()
        with self._log.open("rb") as log:
            log.seek(self._offset)
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return Counter(filter(None, map(_call, map(json.loads, whole.splitlines()))))


def without(calls: Calls, *resources: str) -> Calls:
    """Those of other resources."""
    return Counter({call: count for call, count in calls.items() if call.split()[1] not in resources})


def _call(event: Mapping[str, Any]) -> str:
    verb, about = event["verb"], event.get("objectRef") or {}
    # A watch begins once, and is told of when it begins.
    if (verb == "watch") != (event["stage"] == "ResponseStarted"):
        return ""
    if not about:
        return f"{verb} {event['requestURI'].partition('?')[0]}"
    return f"{verb} {'/'.join(filter(None, (about['resource'], about.get('subresource'))))}"
