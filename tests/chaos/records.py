"""What a caller and the killer write down. Times are seconds since the start of the run."""

from dataclasses import dataclass

from chaos.plan import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try on one connection. A caller tries again only where a connection failed before any byte came."""

    sent: float
    ended: float
    failure: str = ""  # how the connection failed; nothing: an answer came
    reused: bool = False  # the connection was open from an earlier request


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request and what its caller saw."""

    id: str  # its X-Request-Id
    model: str
    stream: bool
    attempts: tuple[Attempt, ...]
    status: int | None = None  # None: no answer began
    complete: bool = False  # the answer ended as its kind of call promises, with no error in it
    right: bool = False  # of a complete answer: it is the expected text; of another: what came of it is its beginning
    error: str = ""  # the error that the answer was, or ended with, or that its connection broke with
    hung: bool = False  # its caller gave up waiting
    held: float | None = None  # seconds, as the router says
    retries: int = 0  # by the router, as it says
    retry_after: float | None = None  # seconds

    @property
    def sent(self) -> float:
        return self.attempts[0].sent

    @property
    def done(self) -> float:
        return self.attempts[-1].ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault that was carried out."""

    kind: Kind
    target: str  # a model, or a part
    model: str  # whose pods it hit; nothing: it was not about one model
    began: float
    over: float  # what it hit is dead, or whole again
