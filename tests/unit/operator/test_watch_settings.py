"""How the operator's watches meet a server that is away."""

import itertools
from collections.abc import Iterable

from hfmodel_operator.cluster.handlers import watch_settings


def test_a_watch_tries_for_ever_and_never_waits_long() -> None:
    backoffs = watch_settings().networking.error_backoffs
    assert isinstance(backoffs, Iterable)
    first = list(itertools.islice(backoffs, 1000))
    assert len(first) == 1000
    assert max(first) <= 3
    assert list(itertools.islice(backoffs, 1000)) == first  # the next outage begins with short waits again
