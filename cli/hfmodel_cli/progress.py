"""How far a download is, in words and as a bar."""

from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import CacheStatus
from hfmodel_cli.text import seconds_text

_BAR_CELLS = 20
_FULL, _EMPTY = "━", "╌"


def progress_text(cache: CacheStatus, *, bar: bool = False) -> str:
    """`1.2 GB of 4.0 GB (30 %), 45.0 MB/s, 62s left`, with what is not known left out; `bar`: with one before it."""
    if cache.total_bytes is None:
        return ", ".join([human_bytes(cache.bytes), *speed_texts(cache)])
    share = min(1.0, cache.bytes / cache.total_bytes) if cache.total_bytes else 1.0
    done = f"{human_bytes(cache.bytes)} of {human_bytes(cache.total_bytes)} ({int(share * 100)} %)"
    text = ", ".join([done, *speed_texts(cache)])
    return f"{_bar(share)} {text}" if bar else text


def speed_texts(cache: CacheStatus) -> list[str]:
    """Bytes per second and time left, as far as they are known."""
    speed = None if cache.bytes_per_second is None else f"{human_bytes(cache.bytes_per_second)}/s"
    left = None if cache.seconds_left is None else f"{seconds_text(cache.seconds_left)} left"
    return [text for text in (speed, left) if text is not None]


def _bar(share: float) -> str:
    full = int(share * _BAR_CELLS)
    return _FULL * full + _EMPTY * (_BAR_CELLS - full)
