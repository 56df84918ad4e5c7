"""What each version of Kubernetes accepts, from its published schemas."""

from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from support.helm import Json

VERSIONS: Final = tuple(f"1.{minor}" for minor in range(30, 38))
# The oldest that there are schemas of.
OLDEST: Final = "1.25"
# Kinds that Kubernetes knows nothing of; Helm and the API servers of their projects do.
_FOREIGN: Final = frozenset({"monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"})
_FOLDER: Final = "kubernetes-json-schema/v{}.0-local-strict"


def schema_errors(manifest: Json, *, kubernetes: str) -> list[str]:
    """What that version has against the manifest; unknown fields, too."""
    if manifest["apiVersion"] in _FOREIGN:
        return [] if manifest.get("spec") and manifest["metadata"].get("name") else ["no spec, or no name"]
    errors = _validator(manifest["apiVersion"], manifest["kind"], kubernetes).iter_errors(manifest)
    return [f"{manifest['kind']} {error.json_path}: {error.message}" for error in errors]


@cache
def _validator(api_version: str, kind: str, kubernetes: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part)
    schema = schema_contents(f"{_FOLDER.format(kubernetes)}/{name}.json", kubernetes)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(kubernetes))


@cache
def _definitions(kubernetes: str) -> Registry[Any]:
    definitions = schema_contents(f"{_FOLDER.format(kubernetes)}/_definitions.json", kubernetes)
    return Resource.from_contents(definitions) @ Registry()
