"""pydantic's errors as sentences a user can act on: the field's path, what is allowed, what was given."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hfmodel_api.errors import FieldError

_MAX_SHOWN = 60


def field_errors(error: ValidationError, *, prefix: str = "") -> tuple[FieldError, ...]:
    """Each error of `error` once, its path below `prefix` ("spec")."""
    found: dict[str, FieldError] = {}
    for details in error.errors(include_url=False):
        path = _path(prefix, details["loc"])
        found.setdefault(path, FieldError(path, _sentence(details)))
    return tuple(found.values())


def _path(prefix: str, location: tuple[int | str, ...]) -> str:
    path = prefix
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(("function-", "list[", "tuple[", "constrained-", "str", "int")) or part.isidentifier():
            # Union branches show up in pydantic's locations ("list[str]"); a user has no such field.
            path += f".{part}" if path else part
    return path


def _sentence(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field here"
        case "json_invalid":
            return f"the body is not valid JSON: {context.get('error', '')}"
        case "value_error":
            return str(context.get("error", details["msg"]))
        case "finite_number":
            return "must be a finite number"
        case "string_pattern_mismatch":
            return f"{_shown(details['input'])} does not match {context['pattern']}"
        case kind if kind in _BOUNDS:
            word, key = _BOUNDS[kind]
            return f"must be {word} {context[key]} (got {_shown(details['input'])})"
        case "enum" | "literal_error":
            return f"{_shown(details['input'])} is not one of {context['expected']}"
        case _:
            message = details["msg"].removeprefix("Input ")
            return f"{message} (got {_shown(details['input'])})"


_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
