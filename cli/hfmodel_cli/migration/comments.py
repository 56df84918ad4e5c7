"""The comments of a models.yaml, by the model and field that they speak of.

A comment speaks of what follows it, or of what stands before it on its line; indented as fields are, after the last
one, it speaks of that model.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import yaml

_BESIDE = re.compile(r"\s*:?\s+(#.*)")


@dataclass(frozen=True, slots=True)
class Remarks:
    """Comments of a model or of a field, each with its `#`."""

    above: tuple[str, ...] = ()
    beside: str = ""
    below: tuple[str, ...] = ()
    fields: Mapping[str, "Remarks"] = field(default_factory=dict)  # of a model, by the old field's name


@dataclass(frozen=True, slots=True)
class Comments:
    """`head` is what the file begins with."""

    head: tuple[str, ...] = ()
    models: Mapping[str, Remarks] = field(default_factory=dict)  # by the old id


def read_comments(text: str) -> Comments:
    """The comments of a models.yaml that `load_models_yaml` could read; those of its settings are left out."""
    lines = text.splitlines()
    root = next(node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if isinstance(node, yaml.MappingNode))
    pairs: list[tuple[Any, Any]] = root.value
    head = _whole_lines(lines, 0, pairs[0][0].start_mark.line)
    for index, (key, value) in enumerate(pairs):
        if key.value == "models" and _is_block(value):
            end = pairs[index + 1][0].start_mark.line if index + 1 < len(pairs) else len(lines)
            return Comments(head, dict(_models(lines, key, value.value, end=end)))
    return Comments(head)


def _models(
    lines: list[str], parent: yaml.Node, pairs: list[tuple[Any, Any]], *, end: int
) -> Iterator[tuple[str, Remarks]]:
    starts = [*(key.start_mark.line for key, _ in pairs[1:]), end]
    free = parent.end_mark.line + 1  # the first line that nobody has spoken for
    for (key, value), next_start in zip(pairs, starts, strict=True):
        above = _whole_lines(lines, free, key.start_mark.line)
        free = _last_line(key, value) + 1
        below = _deeper(lines[free:next_start], key.start_mark.column)
        free += len(below)
        fields = dict(_fields(lines, key, value.value)) if _is_block(value) else {}
        beside = _beside(lines, key if _is_block(value) else value)
        yield key.value, Remarks(above, beside, _whole_lines(below, 0, len(below)), fields)


def _fields(lines: list[str], parent: yaml.Node, pairs: list[tuple[Any, Any]]) -> Iterator[tuple[str, Remarks]]:
    free = parent.end_mark.line + 1
    for key, value in pairs:
        yield key.value, Remarks(_whole_lines(lines, free, key.start_mark.line), _beside(lines, value))
        free = _last_line(key, value) + 1


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode) and not node.flow_style


def _whole_lines(lines: list[str], start: int, end: int) -> tuple[str, ...]:
    """Lines of [start, end) that are comments; in what lies between two nodes, nothing else begins with `#`."""
    stripped = (line.strip() for line in lines[start:end])
    return tuple(line for line in stripped if line.startswith("#"))


def _deeper(lines: list[str], column: int) -> list[str]:
    """The lines up to the first that begins at `column` or before it."""
    return list(takewhile(lambda line: len(line) - len(line.lstrip()) > column, lines))


def _beside(lines: list[str], node: yaml.Node) -> str:
    """The comment after `node` on its last line."""
    mark = node.end_mark
    found = _BESIDE.fullmatch(lines[mark.line], mark.column) if mark.column and mark.line < len(lines) else None
    return found[1].rstrip() if found else ""


def _last_line(key: yaml.Node, value: yaml.Node) -> int:
    """The last line of a key and its value."""
    if value.start_mark.index < key.start_mark.index:
        return key.end_mark.line  # an alias: the value stands elsewhere
    if isinstance(value, yaml.CollectionNode) and not value.flow_style and value.value:
        last = value.value[-1]
        return _last_line(*last) if isinstance(last, tuple) else _last_line(key, last)
    # A block of text ends where the next line begins.
    return value.end_mark.line - (not value.end_mark.column)
