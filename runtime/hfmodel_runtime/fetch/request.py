"""What can be asked of a fetch, what it reports on the way and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hfmodel_runtime.fetch.lock import PATIENCE_SECONDS

if TYPE_CHECKING:
    from hfmodel_runtime.fetch.keep import KeepList

DEFAULT_REVISION = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A repository of the Hugging Face Hub, or of a mirror of it."""

    model: str  # "org/name", or "name" for the old ones
    revision: str = DEFAULT_REVISION  # a branch, a tag or a commit
    endpoint: str | None = None  # None: HF_ENDPOINT, else the Hub
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A model directory, a directory with weights to convert, or a .gguf file."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """One model to be brought into `cache_dir`: either `model`, from the Hub, or `path`, on this machine.

    Raises:
        ValueError: both are given, or neither.
    """

    cache_dir: Path
    model: str | None = None
    revision: str = DEFAULT_REVISION
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    path: Path | None = None
    allow_pickle: bool = False  # a pickle can run code when it is loaded; without this only plain tensors are read
    trust_remote_code: bool = False  # fetch the repository's *.py too
    cache_limit: int | None = None  # bytes; beyond it what `keep` does not name goes, the least recently used first
    keep: "KeepList | None" = None  # all that the caller names or runs; without it nothing is removed

    def __post_init__(self) -> None:
        if (self.model is None) == (self.path is None):
            raise ValueError("a fetch is either of a model at the Hub or of a path")

    @property
    def source(self) -> HubSource | LocalSource:
        if self.path is not None:
            return LocalSource(path=self.path)
        return HubSource(model=self.model or "", revision=self.revision, endpoint=self.endpoint, token=self.token)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call that may succeed in a moment is made again; the wait doubles each time."""

    attempts: int = 5
    base_seconds: float = 0.5
    max_seconds: float = 15.0
    max_asked_seconds: float = 300.0  # the longest that the Hub may ask to wait: one window of its rate limit
    silence_seconds: float = 20.0  # a connection that brings no byte for so long is given up
    # Where the cache can answer too, the Hub is asked once and has so long in all: a start waits for no dead line.
    brief_seconds: float = 5.0
    lock_seconds: float = PATIENCE_SECONDS  # whoever has the lock and shows no sign of life for so long is dead

    def wait_seconds(self, failures: int, *, asked: float | None = None) -> float:
        """Before the next try, after `failures` in a row (at least one). `asked`: what the Hub asked for, if it did."""
        own = min(self.max_seconds, self.base_seconds * 2.0 ** (failures - 1))
        return max(own, min(asked or 0.0, self.max_asked_seconds))


class Stage(StrEnum):
    DOWNLOAD = "download"
    CONVERT = "convert"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a fetch is."""

    stage: Stage
    bytes: int  # of what is wanted, on this machine already
    total_bytes: int | None = None  # None: the source does not say
    bytes_per_second: float | None = None  # over the last seconds; None: too early to tell

    @property
    def seconds_left(self) -> float | None:
        """At the speed of the last seconds; None: nobody can tell."""
        if self.total_bytes is None or not self.bytes_per_second:
            return None
        return max(0, self.total_bytes - self.bytes) / self.bytes_per_second


# Called in the thread that called `fetch`, at most about four times a second.
Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a fetch cost."""

    seconds: float = 0.0
    downloaded_bytes: int = 0  # of contents, also of those that came damaged
    retries: int = 0  # calls that failed and were made again
    converted: bool = False  # by this fetch
    collected_bytes: int = 0  # of other models, removed to make room


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A complete model directory: config, tokenizer, safetensors."""

    path: Path
    revision: str | None  # the commit; None for a local path
    bytes: int  # of all its files
    work: Work = field(default=Work(), compare=False)
