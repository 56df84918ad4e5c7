"""Files that are YAML as kubectl reads it, and files that are not."""

from pathlib import Path
from typing import Any

import pytest

from hfmodel_api.documents import MAX_FILE_BYTES, Documents, read_documents


def read(folder: Path, content: str | bytes, *, name: str = "a.yaml") -> Documents:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_documents(path)


def values(found: Documents) -> list[Any]:
    return [document.value for document in found.documents]


def error(found: Documents, folder: Path) -> str:
    assert len(found.errors) == 1
    return str(found.errors[0]).removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1:30", "1:30"),
        ("30m", "30m"),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("=", "="),
        ("010", 8),
        ("0x1F", 31),
        ("1_000", 1000),
        ("-3", -3),
        ("0.7", 0.7),
        ("1e3", 1000.0),
        (".", "."),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("'3'", "3"),
    ],
)
def test_scalars_are_what_kubectl_takes_them_for(tmp_path: Path, text: str, value: Any) -> None:
    found = read(tmp_path, f"a: {text}\n")
    assert values(found) == [{"a": value}]
    assert type(found.documents[0].value["a"]) is type(value)


def test_keys_are_text(tmp_path: Path) -> None:
    assert values(read(tmp_path, "{8: a, true: b, 2024-01-01: c}")) == [{"8": "a", "true": "b", "2024-01-01": "c"}]


def test_merge_keys_and_aliases_are_resolved(tmp_path: Path) -> None:
    found = read(tmp_path, "base: &b {x: 1, y: 2}\nother: {<<: *b, x: 3}\n")
    assert values(found) == [{"base": {"x": 1, "y": 2}, "other": {"x": 3, "y": 2}}]


def test_documents_are_named_by_their_line_where_there_are_several(tmp_path: Path) -> None:
    found = read(tmp_path, "# a comment\n---\na: 1\n---\n# nothing here\n---\nb: |\n  text\n  --- no separator\n...\n")
    assert values(found) == [{"a": 1}, {"b": "text\n--- no separator\n"}]
    assert [document.origin.removeprefix(f"{tmp_path}/") for document in found.documents] == ["a.yaml:2", "a.yaml:6"]


@pytest.mark.parametrize("content", ["", "\n\n", "# only\n---\n", "---\n---\n", "%YAML 1.1\n---\n"])
def test_a_file_without_content_has_no_documents(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == Documents()


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    assert values(read(tmp_path, b"\xef\xbb\xbfa: 1\n")) == [{"a": 1}]


def test_a_broken_document_hides_none_before_or_after_it(tmp_path: Path) -> None:
    found = read(tmp_path, "a: 1\n---\nb: [\n---\nc: 3\n...\n---\nd: }\n---\n{e: 5}\n")
    assert values(found) == [{"a": 1}, {"c": 3}, {"e": 5}]
    assert [str(each).split(":")[1] for each in found.errors] == ["4", "8"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("a: 1\nb: \t- x", "a.yaml:2: is not valid YAML", id="syntax"),
        pytest.param(b"a: 1\nb: \xff\n", "a.yaml:2: is not UTF-8", id="not UTF-8"),
        pytest.param("a: 1\nb: \x01\n", "a.yaml:2: is not valid YAML", id="control character"),
        pytest.param("a: 1\nb: 2\na: 3\n", "a.yaml:3: has the key 'a' twice", id="duplicate key"),
        pytest.param("a: {1: x, '1': y}\n", "a.yaml:1: has the key '1' twice", id="duplicate key once text"),
        pytest.param("? [a]\n: b\n", "a.yaml:1: has a key that is not text", id="list as key"),
        pytest.param("a: !!python/name:os.system x", "a.yaml:1: has a tag that manifests cannot have", id="python tag"),
        pytest.param("a: !!binary aGk=", "a.yaml:1: has a tag that manifests cannot have", id="binary"),
        pytest.param("a: !Ref x", "a.yaml:1: has a tag that manifests cannot have: !Ref", id="own tag"),
        pytest.param("a: !!int x", "a.yaml: is not valid YAML", id="number that is none"),
        pytest.param("a: *b", "a.yaml:1: is not valid YAML", id="unknown alias"),
        pytest.param("a: &a\n  b: *a", "a.yaml:1: has an alias that contains itself", id="endless alias"),
        pytest.param("[" * 100_000, "a.yaml:1: is nested deeper than 64 levels", id="deep"),
        pytest.param("- " * 100_000, "a.yaml:1: is nested deeper than 64 levels", id="deep block"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert error(read(tmp_path, content), tmp_path).startswith(message)


@pytest.mark.parametrize("item", ["[{aliases}]", "{{<<: [{aliases}]}}"], ids=["lists", "merges"])
def test_a_bomb_of_aliases_does_not_go_off(tmp_path: Path, item: str) -> None:
    levels = (
        f"a{level}: &a{level} " + item.format(aliases=", ".join([f"*a{level - 1}"] * 10)) for level in range(1, 12)
    )
    found = read(tmp_path, "\n".join(["a0: &a0 {x: 1}", *levels]))
    assert "more than 200000 values" in error(found, tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    assert "more than the" in error(read(tmp_path, b"#" * (MAX_FILE_BYTES + 1)), tmp_path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in error(read_documents(tmp_path / "a.yaml"), tmp_path)


def test_json_may_have_tabs(tmp_path: Path) -> None:
    assert values(read(tmp_path, '{\n\t"a": [1, null]\n}', name="a.json")) == [{"a": [1, None]}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param('{\n"a": [1,]}', "a.json:2: is not valid JSON", id="syntax"),
        pytest.param("", "a.json:1: is not valid JSON", id="empty"),
        pytest.param('{"a": NaN}', "a.json: is not valid JSON: NaN", id="not a number"),
        pytest.param('{"a": 1, "b": 2, "a": 3}', "a.json: has the key 'a' twice", id="duplicate key"),
        pytest.param("[" * 100_000, "a.json: is not valid JSON", id="deep"),
        pytest.param("1" * 5000, "a.json: is not valid JSON", id="number too long"),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    assert error(read(tmp_path, content, name="a.json"), tmp_path).startswith(message)
