"""pydantic's errors as sentences a user can act on: the field's path, what is allowed, what was given."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hfmodel_api.errors import FieldError
from hfmodel_api.patterns import EXPLANATIONS

_MAX_SHOWN = 60
# Union branches and wrappers show up in pydantic's locations ("list[str]"); a user has no such field.
_BRANCH = re.compile(
    r"str|int|float|bool|(constrained|function|lax-or-strict|json-or-python)-.*|(list|tuple|dict)\[.*\]"
)


def field_errors(error: ValidationError, *, prefix: str = "") -> tuple[FieldError, ...]:
    """Each error of `error` once, its path below `prefix` ("spec")."""
    found: dict[str, FieldError] = {}
    for details in error.errors(include_url=False):
        path = field_path(part for part in (prefix, *details["loc"]) if part != "" and not _is_branch(part))
        found.setdefault(path, FieldError(path, _sentence(details)))
    return tuple(found.values())


def field_path(parts: Iterable[int | str]) -> str:
    """`("spec", "env", 0, "name")` as a user reads it: `spec.env[0].name`."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def shown(value: Any) -> str:
    """`value` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def not_matching(value: Any, pattern: str) -> str:
    """The sentence for a text that breaks `pattern`."""
    if value == "":
        return "must not be empty"
    if pattern in EXPLANATIONS:
        return f"{shown(value)} is not {EXPLANATIONS[pattern]}"
    return f"{shown(value)} does not match {pattern}"


def _is_branch(part: int | str) -> bool:
    return isinstance(part, str) and _BRANCH.fullmatch(part) is not None


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
            return not_matching(details["input"], context["pattern"])
        case "string_too_short" if context["min_length"] == 1:
            return "must not be empty"
        case kind if kind in _BOUNDS:
            word, key = _BOUNDS[kind]
            return f"must be {word} {context[key]} (got {shown(details['input'])})"
        case "enum" | "literal_error":
            return f"{shown(details['input'])} is not one of {context['expected']}"
        case _:
            message = details["msg"].removeprefix("Input ")
            return f"{message} (got {shown(details['input'])})"


_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
