"""A call that hangs is left to itself."""

import threading

import pytest

from hfmodel_runtime.fetch.deadline import within


def test_an_answer_in_time_is_the_answer() -> None:
    assert within(lambda: 7, seconds=30) == 7


def test_a_failure_in_time_is_the_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        within(lambda: 1 // 0, seconds=30)


def test_a_call_that_hangs_ends_in_time() -> None:
    over = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
            within(over.wait, seconds=0.05)
    finally:
        over.set()
