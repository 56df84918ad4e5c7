"""What an operator of the router can set: frozen values, read from the environment once, passed down."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hfmodel_api.errors import HFModelError

MIB = 1024 * 1024


class InvalidSettings(HFModelError):
    """A setting that cannot be used; the text names it as the user wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """All times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # none: no key is asked for
    cors_origins: tuple[str, ...] = ()  # "*" allows every origin, then without credentials
    default_model: str = ""  # woken at start

    hold_timeout: float = 300.0  # how long a request may wait for its model; a client may ask for less
    max_held_per_model: int = 512
    max_held_total: int = 4096
    want_interval: float = 5.0  # how often demand is repeated while somebody waits
    problem_grace: float = 5.0  # how long a problem from before a request may take to clear
    heartbeat_interval: float = 10.0  # between SSE comments to a held streaming request
    unload_wait: float = 10.0  # how long an unload waits for the model to be gone before it answers

    max_connections: int = 8192  # of clients; fewer where the process may not open as many files
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    header_timeout: float = 30.0  # for all headers to arrive
    keep_alive: float = 75.0  # an idle connection is closed; longer than the usual load balancer's, which then does
    max_body_bytes: int = 4 * MIB
    max_body_bytes_total: int = 256 * MIB  # of all requests for models together, held ones too
    body_timeout: float = 60.0  # for the whole body to arrive
    stall_timeout: float = 300.0  # a client that takes no byte of its answer for so long is dropped
    connect_timeout: float = 2.0
    retry_limit: int = 3  # attempts that may die while a pod works on them, before the answer begins
    set_aside: float = 1.0  # how long a pod that failed an attempt gets no other, unless the fleet has news

    drain_delay: float = 0.0  # not ready, still serving, while load balancers notice
    drain_timeout: float = 300.0  # for what runs and waits after that
    enable_metrics: bool = True
    log_level: str = "info"
    json_logs: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidSettings(f"port: {self.port} is not a TCP port")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise InvalidSettings(f"{name}: must be greater than 0 (got {getattr(self, name)})")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise InvalidSettings(f"{name}: must not be negative (got {getattr(self, name)})")
        if self.log_level.lower() not in LOG_LEVELS:
            raise InvalidSettings(f"log_level: {self.log_level!r} is not one of {', '.join(LOG_LEVELS)}")
        if not all(key.isascii() and key.isprintable() and key.strip() == key and key for key in self.api_keys):
            raise InvalidSettings("api_keys: a key is printable ASCII without spaces around it")


LOG_LEVELS = ("debug", "info", "warning", "error")
_POSITIVE = (
    "max_connections",
    "max_header_bytes",
    "max_headers",
    "header_timeout",
    "keep_alive",
    "max_held_per_model",
    "max_held_total",
    "want_interval",
    "heartbeat_interval",
    "max_body_bytes",
    "max_body_bytes_total",
    "body_timeout",
    "stall_timeout",
    "connect_timeout",
    "retry_limit",
)
_NOT_NEGATIVE = ("hold_timeout", "problem_grace", "unload_wait", "set_aside", "drain_delay", "drain_timeout")

# Beside HFMODEL_<SETTING>; without the prefix the old server's names.
_OTHER_NAMES = {
    "host": ("HOST",),
    "port": ("PORT",),
    "api_keys": ("HFMODEL_API_KEY", "API_KEY"),
    "cors_origins": ("CORS_ORIGINS",),
    "default_model": ("DEFAULT_MODEL",),
    "enable_metrics": ("ENABLE_METRICS",),
    "log_level": ("LOG_LEVEL",),
}


def environment_names(setting: str) -> tuple[str, ...]:
    """The variables that can hold `setting`, the one that wins first."""
    return (f"HFMODEL_{setting.upper()}", *_OTHER_NAMES.get(setting, ()))


def settings_from_environment(environment: Mapping[str, str], **given: Any) -> RouterSettings:
    """Settings from variables; `given` (from a command line) wins, its Nones do not count.

    Raises:
        InvalidSettings: names the variable.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for setting in fields(RouterSettings):
        name = next((name for name in environment_names(setting.name) if environment.get(name)), None)
        if name is None or setting.name in values:
            continue
        try:
            values[setting.name] = _PARSERS[setting.type](environment[name])
        except ValueError as error:
            # The text of a setting may be a secret: it is not repeated.
            raise InvalidSettings(f"{name}: {error}") from None
    return RouterSettings(**values)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("must be a number of seconds")
    return value


def _flag(text: str) -> bool:
    match text.strip().lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_PARSERS: Mapping[Any, Callable[[str], Any]] = {
    str: str.strip,
    int: _whole,
    float: _number,
    bool: _flag,
    tuple[str, ...]: _list,
}
