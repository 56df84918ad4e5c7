"""What an account did on an API server, from the server's own audit log, and what it may do, from its Role."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from support.helm import Json

_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource, such as patch on hfmodels/status."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f" of {self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class AuditLog:
    folder: Path

    @property
    def flags(self) -> Mapping[str, str]:
        """For the API server, which then writes this log before it answers."""
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(_POLICY))
        return {"audit-policy-file": str(policy), "audit-log-path": str(self._log)}

    def used(self, user: str) -> set[Right]:
        """What the user did, or tried and was allowed to."""
        return {_right(event) for event in self._events(user) if not _is_forbidden(event) and "objectRef" in event}

    def forbidden(self, user: str) -> list[str]:
        """What the user was not allowed to do."""
        return [f"{event['verb']} {event['requestURI']}" for event in self._events(user) if _is_forbidden(event)]

    def _events(self, user: str) -> Iterator[Json]:
        for line in self._log.read_text().splitlines():
            event: Json = json.loads(line)
            if event["user"].get("username") == user:
                yield event

    @property
    def _log(self) -> Path:
        return self.folder / "audit.jsonl"


def rights_of(role: Json) -> set[Right]:
    return {
        Right(group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _right(event: Json) -> Right:
    what = event["objectRef"]
    resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
    return Right(what.get("apiGroup", ""), resource, event["verb"])


def _is_forbidden(event: Json) -> bool:
    return bool(event.get("responseStatus", {}).get("code") == _FORBIDDEN)
