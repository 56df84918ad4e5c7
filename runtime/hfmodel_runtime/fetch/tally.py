"""What a fetch cost, counted by all who work on it."""

import threading
from dataclasses import dataclass, field

from hfmodel_runtime.fetch.request import Work


@dataclass(slots=True)
class Tally:
    """Safe to use from several threads."""

    _downloaded_bytes: int = 0
    _retries: int = 0
    _collected_bytes: int = 0
    _converted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def received(self, count: int) -> None:
        with self._lock:
            self._downloaded_bytes += count

    def retried(self) -> None:
        with self._lock:
            self._retries += 1

    def collected(self, count: int) -> None:
        with self._lock:
            self._collected_bytes += count

    def converted(self) -> None:
        with self._lock:
            self._converted = True

    def total(self, *, seconds: float) -> Work:
        with self._lock:
            return Work(
                seconds=seconds,
                downloaded_bytes=self._downloaded_bytes,
                retries=self._retries,
                converted=self._converted,
                collected_bytes=self._collected_bytes,
            )
