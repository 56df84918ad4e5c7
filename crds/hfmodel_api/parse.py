"""One manifest to one HFModel, or everything that is wrong with it."""

from typing import Any

from pydantic import ValidationError

from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.schema import schema_errors
from hfmodel_api.spec import HFModel, HFModelSpec
from hfmodel_api.validation import field_errors


def parse_manifest(document: Any, *, origin: str = "") -> HFModel:
    """The HFModel that `document` (a manifest, or an object read from a cluster) describes.

    Args:
        document: as JSON or YAML gave it. It is not changed; its status is not looked at.
        origin: the file it came from, for the error's text.

    Raises:
        InvalidManifest: with every error of every field.
    """
    errors = {error.path: error for error in schema_errors(document)}
    spec, broken_rules = _spec(document)
    for error in broken_rules:
        errors.setdefault(error.path, error)
    if errors or spec is None:
        raise InvalidManifest(tuple(errors.values()), origin=origin)
    metadata = document["metadata"]
    return HFModel(
        id=metadata["name"],
        spec=spec,
        namespace=metadata.get("namespace") or "default",
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 1,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


def _spec(document: Any) -> tuple[HFModelSpec | None, tuple[FieldError, ...]]:
    """The spec, and the rules between fields that it breaks: what the schema says in CEL, the types say too."""
    spec = document.get("spec") if isinstance(document, dict) else None
    if not isinstance(spec, dict):
        return None, ()
    try:
        return HFModelSpec.model_validate(spec), ()
    except ValidationError as error:
        return None, field_errors(error, prefix="spec")
