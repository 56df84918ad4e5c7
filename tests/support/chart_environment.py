"""The environment that the kubelet makes of a container's `env`."""

from typing import Any

from support.helm import Json

FIELDS = {"metadata.namespace": "models", "metadata.name": "pod-1"}


def environment(container: Json) -> dict[str, str]:
    """Of each variable its value; that of a Secret's key is `NAME/KEY` itself."""
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names)), names
    return {variable["name"]: _value(variable) for variable in container["env"]}


def _value(variable: Json) -> str:
    if "value" in variable:
        assert isinstance(variable["value"], str), variable
        return variable["value"]
    source: Any = variable["valueFrom"]
    if "fieldRef" in source:
        return FIELDS[source["fieldRef"]["fieldPath"]]
    reference = source["secretKeyRef"]
    return f"{reference['name']}/{reference['key']}"
