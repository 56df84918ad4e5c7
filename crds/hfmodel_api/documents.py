"""Reads YAML and JSON files into plain documents, as safely and in the same dialect as kubectl.

Dates and `1:30` stay text, keys are text, a key twice is an error; unlike with most readers, one broken document does
not hide those after it. Bounded in size, depth and what aliases may expand to.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hfmodel_api.errors import FieldError, InvalidManifest

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 200_000  # after aliases are expanded

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_NO_CONTENT = re.compile(r"\s*(#.*|%.*|---\s*(#.*)?)?")  # a line
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge"))


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    value: Any
    origin: str  # "models/a.yaml", or "models/a.yaml:12" where the file has several


@dataclass(frozen=True, slots=True)
class Documents:
    """What a file holds, the good and the broken."""

    documents: tuple[Document, ...] = ()
    errors: tuple[InvalidManifest, ...] = ()


class _Broken(Exception):
    """A document that cannot be read. `line` counts from 1, within the text that was read."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.1 as kubectl reads it: no dates, no numbers in base 60, no infinity."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


# Tag, pattern, and the characters it can start with (nothing at all is null).
_SCALARS: tuple[tuple[str, str, list[str]], ...] = (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", list("yYnNtTfFoO")),
    ("int", r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", ["<"]),
)
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})\Z"), _first)


def read_documents(path: Path) -> Documents:
    """The documents of a YAML or JSON (`.json`) file; what cannot be read is an error that names file and line."""
    try:
        text = _text(path)
        if path.suffix == ".json":
            return Documents((Document(_json(text), str(path)),))
    except OSError as error:
        return _failed(path, _Broken(f"cannot be read: {error.strerror or error}"))
    except _Broken as broken:
        return _failed(path, broken)
    return _yaml(text, path)


def _failed(path: Path, broken: _Broken) -> Documents:
    return Documents(errors=(_error(path, broken),))


def _error(path: Path, broken: _Broken, *, first_line: int = 1) -> InvalidManifest:
    origin = str(path) if broken.line is None else f"{path}:{first_line + broken.line - 1}"
    return InvalidManifest((FieldError("", broken.message),), origin=origin)


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise _Broken(f"has {size} bytes, more than the {MAX_FILE_BYTES} of a file of manifests")
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Broken("is not UTF-8", line=data.count(b"\n", 0, error.start) + 1) from error


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_not_json)
    except json.JSONDecodeError as error:
        raise _Broken(f"is not valid JSON: {error.msg}", line=error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise _Broken(f"is not valid JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Broken(f"has the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return value


def _not_json(name: str) -> Any:
    raise _Broken(f"is not valid JSON: {name} is not a number of JSON")


def _yaml(text: str, path: Path) -> Documents:
    chunks = [(line, chunk) for line, chunk in _chunks(text) if _has_content(chunk)]
    documents: list[Document] = []
    errors: list[InvalidManifest] = []
    for first_line, chunk in chunks:
        origin = str(path) if len(chunks) == 1 else f"{path}:{first_line}"
        try:
            documents.extend(Document(value, origin) for value in _load(chunk))
        except _Broken as broken:
            errors.append(_error(path, broken, first_line=first_line))
    return Documents(tuple(documents), tuple(errors))


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """The text from each `---` to the next, with the line it starts at. YAML allows that marker nowhere else."""
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(text) if match.start())]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text.count("\n", 0, start) + 1, text[start:end]


def _has_content(chunk: str) -> bool:
    return not all(_NO_CONTENT.fullmatch(line) for line in chunk.splitlines())


def _load(text: str) -> Iterator[Any]:
    """The documents of `text`, up to the first broken one."""
    try:
        _check_depth(text)
        yield from _values(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "unreadable"
        raise _Broken(f"is not valid YAML: {problem}", line=mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Broken(f"is not valid YAML: {error.reason}", line=line) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _Broken(f"is not valid YAML: {error}") from error


def _values(text: str) -> Iterator[Any]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            _check_node(node, {})
            yield loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the composer recurses into it: the C parser has no limit of its own."""
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark = event.start_mark
            raise _Broken(f"is nested deeper than {MAX_DEPTH} levels", line=mark.line + 1 if mark else None)


def _events(text: str) -> Iterator[yaml.Event]:
    # Up to what cannot be read, which the composer reports after the documents before it.
    with contextlib.suppress(yaml.YAMLError):
        yield from yaml.parse(text, Loader=_Loader)


def _check_node(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """How many nodes `node` stands for once aliases are expanded; also makes keys text, and refuses what JSON lacks.

    `sizes` has the nodes seen so far by identity: None while their children are looked at.
    """
    line = node.start_mark.line + 1
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise _Broken("has an alias that contains itself", line=line)
        return known
    if node.tag not in _TAGS:
        raise _Broken(f"has a tag that manifests cannot have: {node.tag}", line=line)
    sizes[id(node)] = None
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    size = 1 + sum(_check_node(child, sizes) for child in _children(node))
    if size > MAX_NODES:
        raise _Broken(f"has more than {MAX_NODES} values once its aliases are expanded", line=line)
    sizes[id(node)] = size
    return size


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _Broken("has a key that is not text", line=line)
        if key.tag == _MERGE:
            continue
        key.tag = f"{_TAG}str"
        if key.value in seen:
            raise _Broken(f"has the key {key.value!r} twice", line=line)
        seen.add(key.value)
