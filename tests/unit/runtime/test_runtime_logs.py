"""Log lines: one line each, values that a program can split."""

import io
import logging
from collections.abc import Iterator

import pytest

from hfmodel_runtime import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("info", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_fields_follow_the_message_as_key_value(stream: io.StringIO) -> None:
    fields = {"path": "/v1/x", "seconds": 0.12345, "note": 'two "words"', "empty": ""}
    logging.getLogger("x").info("request", extra={"fields": fields})
    assert stream.getvalue().endswith('Z info request path=/v1/x seconds=0.1235 note="two \\"words\\"" empty=""\n')


def test_a_message_cannot_forge_a_line(stream: io.StringIO) -> None:
    logging.getLogger("x").info("path %s", "/a\r\n2026-01-01 info forged")
    assert stream.getvalue().count("\n") == 1


def test_a_field_cannot_forge_another(stream: io.StringIO) -> None:
    logging.getLogger("x").info("request", extra={"fields": {"path": "/a status=200\nforged"}})
    assert 'path="/a status=200\\nforged"' in stream.getvalue()


def test_levels_and_chatty_libraries(stream: io.StringIO) -> None:
    logging.getLogger("x").debug("hidden")
    logging.getLogger("uvicorn.error").info("hidden")
    logging.getLogger("uvicorn.error").warning("shown")
    assert "hidden" not in stream.getvalue()
    assert "warning shown" in stream.getvalue()
