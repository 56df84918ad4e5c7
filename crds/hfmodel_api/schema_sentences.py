"""jsonschema's errors as sentences a user can act on, in the words of `validation`."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from jsonschema import ValidationError

from hfmodel_api.errors import FieldError
from hfmodel_api.patterns import REFUSALS
from hfmodel_api.validation import field_path, not_matching, shown

_FEW = 8
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}


def errors_of(errors: Iterable[ValidationError]) -> tuple[FieldError, ...]:
    """One error for each field at fault, the first that was found."""
    found: dict[str, FieldError] = {}
    for error in errors:
        for path, message in _sentences(error):
            found.setdefault(path, FieldError(path, message))
    return tuple(found.values())


def _sentences(error: ValidationError) -> Iterator[tuple[str, str]]:
    parts = tuple(error.absolute_path)
    value: Any = error.instance
    limit: Any = error.validator_value
    match error.validator:
        case "required":
            for name in limit:
                if name not in value:
                    yield field_path((*parts, name)), "is required"
        case "additionalProperties":
            fields = _fields(error)
            for name in value:
                if name not in fields:
                    yield field_path((*parts, str(name))), _unknown(str(name), fields)
        case _:
            yield field_path(parts), _sentence(error)


def _sentence(error: ValidationError) -> str:
    value: Any = error.instance
    limit: Any = error.validator_value
    match error.validator:
        case "type":
            return _wrong_type(value, limit)
        case "enum":
            allowed = ", ".join(map(str, limit))
            return f"{shown(value)} is not {f'one of {allowed}' if len(limit) > 1 else allowed}"
        case "pattern":
            return not_matching(value, limit)
        case "not":
            return REFUSALS.get(limit.get("pattern"), f"{shown(value)} is not allowed")
        case "minimum":
            return f"must be at least {limit} (got {shown(value)})"
        case "maximum":
            return f"must be at most {limit} (got {shown(value)})"
        case "minLength" if limit == 1:
            return "must not be empty"
        case "maxLength":
            return f"must be at most {limit} characters long (got {len(value)})"
        case "maxProperties":
            return f"set at most {limit} of {', '.join(_fields(error))} (got {', '.join(value)})"
        case _:
            return error.message


def _fields(error: ValidationError) -> Mapping[str, Any]:
    schema: Any = error.schema
    fields: Mapping[str, Any] = schema["properties"]
    return fields


def _wrong_type(value: Any, expected: str | list[str]) -> str:
    words = " or ".join(_TYPES.get(name, name) for name in ([expected] if isinstance(expected, str) else expected))
    if value is None:
        return f"must be {words}, not null"
    number = isinstance(value, int | float)
    hint = ": put it in quotes" if number and expected == "string" else ""
    return f"must be {words} (got {_as_yaml(value)}){hint}"


def _as_yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else shown(value)


def _unknown(name: str, fields: Mapping[str, Any]) -> str:
    plain = {_plain(field): field for field in fields}
    close = get_close_matches(_plain(name), plain, n=1)
    if close:
        return f"is not a field here; did you mean {plain[close[0]]}?"
    if len(fields) <= _FEW:
        return f"is not a field here; the fields are {', '.join(fields)}"
    return "is not a field here"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
