"""The objects as the API server had them last: from watches, from lists, and from the answers to our own calls.

Whichever came last in the server's order wins, so a watch that lags behind does not undo what we were answered: the
next decision sees what the last one did.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from hfmodel_operator.cluster.api import Json, Resource
from hfmodel_operator.cluster.objects import uid_of

_REMEMBERED: Final = 4096  # uids of what is gone; only news that overtook each other can ask for them


class Store:
    """Of the resources that the operator watches. `changed` is called when an object is really new or gone."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._objects: dict[Resource, dict[str, Json]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def all(self, resource: Resource) -> tuple[Json, ...]:
        return tuple(self._objects.get(resource, {}).values())

    def get(self, resource: Resource, uid: str) -> Json | None:
        return self._objects.get(resource, {}).get(uid)

    def put(self, resource: Resource, thing: Json) -> None:
        uid, objects = uid_of(thing), self._objects.setdefault(resource, {})
        known = objects.get(uid)
        if uid in self._gone or (known is not None and _version(thing) <= _version(known)):
            return
        metadata = {key: value for key, value in thing["metadata"].items() if key != "managedFields"}
        objects[uid] = {**thing, "metadata": metadata}
        self._changed()

    def remove(self, resource: Resource, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)
        if self._objects.setdefault(resource, {}).pop(uid, None) is not None:
            self._changed()

    def replace(self, resource: Resource, things: Iterable[Json], *, version: str) -> None:
        """A whole list, as of `version`: what it lacks and is not younger is gone."""
        listed = {uid_of(thing): thing for thing in things}
        for uid, known in list(self._objects.get(resource, {}).items()):
            if uid not in listed and _version(known) <= int(version):
                self.remove(resource, uid)
        for thing in listed.values():
            self.put(resource, thing)


def _version(thing: Json) -> int:
    # Numbers that grow, on every server there is; since Kubernetes 1.35 that is also promised.
    return int(thing["metadata"]["resourceVersion"])
