"""An API server in memory: objects with versions, merge patches, preconditions, and a history to watch.

It does what the operator and the router rely on, and no more. Reached through `calls`, which may lose what it says.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

Json = dict[str, Any]

NAMESPACE: Final = "models"
_GRACE_SECONDS: Final = 330


class Refused(Exception):
    """An answer of 4xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history."""

    version: int
    plural: str
    kind: str  # ADDED, MODIFIED, DELETED
    thing: Json


@dataclass(slots=True)
class ApiServer:
    """`now` is the server's own clock."""

    now: Callable[[], datetime]
    history: list[Change] = field(default_factory=list)
    watchers: list[Callable[[], None]] = field(default_factory=list)  # called after every change
    on_pod_deleted: Callable[[str, Json], None] = lambda _who, _pod: None  # who asked, and the pod as it was
    _objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    _version: int = 0
    _uids: int = 0

    @property
    def version(self) -> int:
        return self._version

    def all(self, plural: str) -> list[Json]:
        return list(self._objects.get(plural, {}).values())

    def find(self, plural: str, name: str) -> Json | None:
        return self._objects.get(plural, {}).get(name)

    def call(self, who: str, method: str, path: str, *, query: Mapping[str, str] | None, body: Json | None) -> Json:
        """Raises Refused."""
        plural, name, part = _parts(path)
        match method:
            case "GET" if not name:
                things = [thing for thing in self.all(plural) if matches(thing, (query or {}).get("labelSelector"))]
                return {"items": copy.deepcopy(things), "metadata": {"resourceVersion": str(self._version)}}
            case "GET":
                return copy.deepcopy(self._get(plural, name))
            case "POST":
                return copy.deepcopy(self._create(plural, body or {}))
            case "PUT":
                return copy.deepcopy(self._replace(plural, name, body or {}))
            case "PATCH":
                return copy.deepcopy(self._patch(plural, name, part, body or {}))
            case "DELETE":
                return copy.deepcopy(self._delete(who, plural, name, body or {}))
        raise Refused(405, method)

    # What the cluster itself does.

    def set_status(self, plural: str, name: str, status: Json) -> None:
        """Merge `status` into that of the object, if it is still there."""
        if self.find(plural, name) is not None:
            self._patch(plural, name, "status", {"status": status})

    def remove(self, plural: str, name: str, uid: str) -> None:
        """The object is gone for good."""
        thing = self.find(plural, name)
        if thing is not None and thing["metadata"]["uid"] == uid:
            del self._objects[plural][name]
            self._changed("DELETED", plural, thing)

    def _get(self, plural: str, name: str) -> Json:
        thing = self.find(plural, name)
        if thing is None:
            raise Refused(404, f"{plural} {name!r} not found")
        return thing

    def _create(self, plural: str, body: Json) -> Json:
        name = body["metadata"]["name"]
        if self.find(plural, name) is not None:
            raise Refused(409, f"{plural} {name!r} already exists")
        self._uids += 1
        created = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {**body["metadata"], "uid": f"uid-{self._uids}", "creationTimestamp": created, "generation": 1}
        thing = {**copy.deepcopy(body), "metadata": metadata}
        self._objects.setdefault(plural, {})[name] = thing
        self._changed("ADDED", plural, thing)
        return thing

    def _replace(self, plural: str, name: str, body: Json) -> Json:
        thing = self._get(plural, name)
        if body["metadata"].get("resourceVersion") not in (None, thing["metadata"]["resourceVersion"]):
            raise Refused(409, "the object has been modified")
        replaced = {**copy.deepcopy(body), "metadata": {**thing["metadata"]}}
        self._objects[plural][name] = replaced
        self._changed("MODIFIED", plural, replaced)
        return replaced

    def _patch(self, plural: str, name: str, part: str, body: Json) -> Json:
        thing = self._get(plural, name)
        if (uid := body.get("metadata", {}).get("uid")) not in (None, thing["metadata"]["uid"]):
            raise Refused(409, f"the uid in the precondition ({uid}) does not match")
        patch = {"status": body["status"]} if part else {key: value for key, value in body.items() if key != "status"}
        patched: Json = _merged(thing, patch)
        if patched == thing:
            return thing
        if patched.get("spec") != thing.get("spec"):
            patched["metadata"]["generation"] += 1
        self._objects[plural][name] = patched
        self._changed("MODIFIED", plural, patched)
        return patched

    def _delete(self, who: str, plural: str, name: str, body: Json) -> Json:
        thing = self._get(plural, name)
        if body.get("preconditions", {}).get("uid") not in (None, thing["metadata"]["uid"]):
            raise Refused(409, "the uid in the precondition does not match")
        if plural != "pods":
            self.remove(plural, name, thing["metadata"]["uid"])
            return thing
        if "deletionTimestamp" in thing["metadata"]:
            return thing
        self.on_pod_deleted(who, thing)
        at = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {**thing["metadata"], "deletionTimestamp": at, "deletionGracePeriodSeconds": _GRACE_SECONDS}
        going = {**thing, "metadata": metadata}
        self._objects[plural][name] = going
        self._changed("MODIFIED", plural, going)
        return going

    def _changed(self, kind: str, plural: str, thing: Json) -> None:
        self._version += 1
        thing["metadata"]["resourceVersion"] = str(self._version)
        self.history.append(Change(self._version, plural, kind, copy.deepcopy(thing)))
        for tell in tuple(self.watchers):
            tell()


def _parts(path: str) -> tuple[str, str, str]:
    """Plural, name and subresource of a namespaced path."""
    rest = path.partition(f"/namespaces/{NAMESPACE}/")[2].split("/")
    plural, name, part, *_ = (*rest, "", "")
    return plural, name, part


def matches(thing: Json, selector: str | None) -> bool:
    """Whether a label selector (equality, existence, absence) takes this object."""
    labels = thing["metadata"].get("labels") or {}
    for term in filter(None, (selector or "").split(",")):
        key, is_equality, value = term.partition("=")
        if term.startswith("!"):
            fits = term[1:] not in labels
        else:
            fits = labels.get(key) == value if is_equality else key in labels
        if not fits:
            return False
    return True


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
