"""Reading Kubernetes objects: labels, times, conditions, containers."""

from datetime import datetime

from hfmodel_operator.cluster.api import Json


def name_of(thing: Json) -> str:
    return str(thing["metadata"]["name"])


def uid_of(thing: Json) -> str:
    return str(thing["metadata"]["uid"])


def labels_of(thing: Json) -> dict[str, str]:
    return thing["metadata"].get("labels") or {}


def status_of(thing: Json) -> Json:
    return thing.get("status") or {}


def owner_uid(thing: Json) -> str | None:
    """The uid of the object that controls it."""
    owners = thing["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


def time_at(part: Json, key: str) -> datetime | None:
    """The RFC 3339 time at `key`, if there is one."""
    text = part.get(key)
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def condition(thing: Json, kind: str, status: str | None = None) -> Json | None:
    """The condition of type `kind`, if there is one, and has `status` if that is given."""
    for found in status_of(thing).get("conditions") or ():
        if found["type"] == kind and status in (None, found["status"]):
            return dict(found)
    return None


def container_status(pod: Json, name: str) -> Json:
    """What the kubelet says of a container, also of an init container; empty before it says anything."""
    status = status_of(pod)
    for found in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if found["name"] == name:
            return dict(found)
    return {}


def has_init_container(pod: Json, name: str) -> bool:
    return any(container["name"] == name for container in pod["spec"].get("initContainers") or ())
