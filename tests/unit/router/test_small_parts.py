"""The pure parts: which pod is picked, where events end, what a log line looks like."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_router.fleet import Endpoint
from hfmodel_router.logs import JsonFormatter, KeyValueFormatter
from hfmodel_router.pick import least_busy
from hfmodel_router.sse import WholeEvents, comment, split_tokens

PODS = tuple(Endpoint(name, f"http://{name}") for name in "abc")


EVENT = b'data: {"text": ": tokens 7 7"}\n\n'


@pytest.mark.parametrize(
    ("events", "passed_on", "tokens"),
    [
        (EVENT, EVENT, b""),
        (EVENT + b": tokens 12 3\n\n", EVENT, b"12 3"),
        (b": tokens 12 3\n\n", b"", b"12 3"),
        (b"", b"", b""),
        (b": ping\n\n", b": ping\n\n", b""),
    ],
    ids=["none", "behind an event", "alone", "nothing", "another comment"],
)
def test_a_pods_account_of_its_tokens_is_taken_out_of_its_events(
    events: bytes, passed_on: bytes, tokens: bytes
) -> None:
    assert split_tokens(events) == (passed_on, tokens)


def test_the_least_busy_pod_is_picked() -> None:
    chosen = least_busy(PODS, in_flight={"a": 2, "b": 1, "c": 3}, turn=0)
    assert chosen == PODS[1]


def test_equals_take_turns() -> None:
    assert {least_busy(PODS, in_flight={}, turn=turn) for turn in range(3)} == set(PODS)


def test_without_a_pod_none_is_picked() -> None:
    assert least_busy((), in_flight={}, turn=0) is None


@given(st.lists(st.sampled_from([b"data: x", b"\n\n", b"\n", b"\r\n\r\n", b": ping"]), max_size=20), st.integers(1, 7))
def test_whole_events_lose_nothing_and_never_cut_one(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    whole = WholeEvents()
    sent = [whole.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert all(not part or part.endswith((b"\n\n", b"\r\n\r\n")) for part in sent)
    assert b"".join(sent) + whole.rest() == data


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    whole = WholeEvents()
    assert sum(len(whole.feed(b"x" * 65536)) for _ in range(40)) > 1024 * 1024


def test_a_comment_is_one_line() -> None:
    assert comment("a\nb\r\n\r\ndata: c") == b": a b data: c\n\n"


def _record(**fields: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "here", "levelno": 20, "levelname": "INFO", "msg": "request", **fields})
    record.created = 0.0
    return record


@pytest.mark.parametrize(
    ("value", "shown"), [("plain", "plain"), ("two words", '"two words"'), ("a\nb", '"a\\nb"'), (3, "3"), ("", '""')]
)
def test_a_log_line_is_one_line_of_pairs(value: object, shown: str) -> None:
    line = KeyValueFormatter().format(_record(model=value))
    assert line == f"1970-01-01T00:00:00.000+00:00 info here: request model={shown}"


def test_a_json_log_line_is_an_object_with_its_traceback() -> None:
    try:
        int("oops")
    except ValueError:
        record = _record(status=200, exc_info=sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"], line["status"]) == ("info", "request", 200)
    assert "ValueError: invalid literal" in line["exception"]
