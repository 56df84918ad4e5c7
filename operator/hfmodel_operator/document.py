"""An observed picture as YAML or JSON, and a plan as YAML: to explain a decision, and for reports of wrong ones.

The document has the fields of `observed.Observed` in their Python spelling; what lies inside a model's `spec`, `status`
and `demand` is spelled as in a manifest.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.validation import field_errors
from hfmodel_operator.observed import Observed
from hfmodel_operator.plan import Plan


def parse_observed(text: str, *, origin: str = "") -> Observed:
    """Read a picture; `origin` names the file in errors.

    Raises:
        InvalidManifest: not YAML, a field is wrong, or a time has no zone; says each field.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidManifest([FieldError("", f"is not YAML: {error}")], origin=origin) from error
    try:
        observed = TypeAdapter(Observed).validate_python(document)
    except ValidationError as error:
        raise InvalidManifest(field_errors(error), origin=origin) from error
    wrong = [*_unknown_fields(document, observed, ""), *_without_zone(observed, "")]
    if wrong:
        raise InvalidManifest(wrong, origin=origin)
    return observed


def plan_as_yaml(plan: Plan) -> str:
    """The plan, without what is empty."""
    document: dict[str, Any] = TypeAdapter(Plan).dump_python(
        plan, mode="json", by_alias=True, exclude_none=True, exclude={"rests"}
    )
    return yaml.safe_dump({key: value for key, value in document.items() if value}, sort_keys=False, width=120)


def _unknown_fields(document: Any, value: Any, path: str) -> Iterator[FieldError]:
    """Misspelled fields of our own dataclasses, which would change what is decided; pydantic checks the spec's."""
    if is_dataclass(value) and isinstance(document, dict):
        known = {field.name for field in fields(value)}
        for key, inner in document.items():
            if key not in known:
                yield FieldError(f"{path}{key}", "is not a field here")
            else:
                yield from _unknown_fields(inner, getattr(value, key), f"{path}{key}.")
    elif isinstance(value, tuple) and isinstance(document, list):
        for index, (inner, item) in enumerate(zip(document, value, strict=False)):
            yield from _unknown_fields(inner, item, f"{path.removesuffix('.')}[{index}].")


def _without_zone(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, datetime) and value.tzinfo is None:
        yield FieldError(path.removesuffix("."), "needs a time zone, as in 2026-03-01T12:00:00Z")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _without_zone(item, f"{path.removesuffix('.')}[{index}].")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _without_zone(getattr(value, field.name), f"{path}{field.name}.")
    elif isinstance(value, BaseModel):
        for name, item in value:
            yield from _without_zone(item, f"{path}{name}.")
