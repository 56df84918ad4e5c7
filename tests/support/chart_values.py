"""Values of the chart by their paths, such as `router.service.port`."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from support.helm import Json, Values


def leaves(values: Values, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path and default of every value; a mapping that is not empty is no value, but a group of them."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and path not in WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


# Mappings that are handed on as they are.
WHOLE = frozenset(
    {"podSecurityContext", "containerSecurityContext", "fetch.resources", "operator.resources", "router.resources"}
)


def nested(path: str, value: Any) -> Json:
    """`{"router": {"port": value}}` for `router.port`."""
    *groups, name = path.split(".")
    found: Json = {name: value}
    for group in reversed(groups):
        found = {group: found}
    return found


def merged(first: Values, second: Values) -> Json:
    """Both, the second one winning, as Helm merges values."""
    result: Json = deepcopy(dict(first))
    for name, value in second.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = merged(old, value) if both and old is not None else value
    return result
