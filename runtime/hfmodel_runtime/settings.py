"""What one serving process is told: a frozen value, read once from options and environment."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self, get_args, get_type_hints

from hfmodel_api.spec import Device, Dtype, EngineName, ModelType

ENV_PREFIX: Final = "HFMODEL_"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How to serve one model directory; the options are explained in `_HELP`.

    Raises:
        ValueError: a value is out of its range; the text starts with the field's name.
    """

    model_dir: Path
    model_id: str
    model: str = ""
    revision: str | None = None
    type: str = "text"
    host: str = "127.0.0.1"
    port: int = 8080
    device: str = "auto"
    dtype: str = "auto"
    engine: str = "auto"
    max_length: int | None = None
    suggested_temperature: float = 0.7
    max_running: int = 64
    max_queued: int = 256
    threads: int | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    drain_delay: float = 0.0
    drain_timeout: float = 300.0
    max_connections: int = 4096
    max_header_bytes: int = 32 * 2**10
    max_headers: int = 100
    header_timeout: float = 30.0
    max_body_bytes: int = 4 * 2**20
    body_timeout: float = 60.0
    stall_timeout: float = 120.0
    termination_log: Path | None = None
    log_level: str = "info"

    def __post_init__(self) -> None:
        for name, (is_fine, rule) in _RULES.items():
            value = getattr(self, name)
            if value is not None and not is_fine(value):
                raise ValueError(f"{name} {rule} (got {value!r})")

    @classmethod
    def from_command_line(cls, argv: Sequence[str], environ: Mapping[str, str]) -> Self:
        """Settings from options, else from `HFMODEL_<NAME>`, else the defaults.

        Raises:
            SystemExit: with code 2, after a line on stderr that names the option or the variable at fault.
        """
        options = [_Option(each.name, each.default, get_type_hints(cls)[each.name]) for each in fields(cls)]
        parser = argparse.ArgumentParser("hfmodel-runtime serve", description="Serve one model directory over HTTP.")
        for option in options:
            option.add_to(parser)
        given = vars(parser.parse_args(argv))
        values: dict[str, Any] = {option.name: option.value(parser, given, environ) for option in options}
        try:
            return cls(**values)
        except ValueError as error:
            name, _, rule = str(error).partition(" ")
            parser.error(f"{_flag(name)} ({_variable(name)}) {rule}")


class _Option:
    """One field of the settings as an option and as a variable."""

    def __init__(self, name: str, default: object, hint: Any) -> None:
        self.name = name
        self.is_required = default is MISSING
        self.default = default
        kind = next((each for each in get_args(hint) if each is not type(None)), hint)
        self.parse: Callable[[str], object] = _PARSERS[kind]

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        note = "required" if self.is_required else f"default: {self.default}"
        # A switch may stand alone (`--allow-pickle`) or be assigned (`--allow-pickle=false`).
        bare: dict[str, Any] = {"nargs": "?", "const": True} if self.parse is _boolean else {}
        parser.add_argument(
            _flag(self.name),
            type=self.parse,
            metavar=self.name.rpartition("_")[2].upper(),
            help=f"{_HELP[self.name]} [${_variable(self.name)}; {note}]",
            **bare,
        )

    def value(self, parser: argparse.ArgumentParser, given: Mapping[str, object], environ: Mapping[str, str]) -> object:
        if given[self.name] is not None:
            return given[self.name]
        variable = _variable(self.name)
        if variable in environ:
            try:
                return self.parse(environ[variable])
            except argparse.ArgumentTypeError as error:
                parser.error(f"{variable}: {error}")
        if self.is_required:
            parser.error(f"{_flag(self.name)} is required (or {variable})")
        return self.default


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return f"{ENV_PREFIX}{name.upper()}"


def _boolean(text: str) -> bool:
    match text.lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off" | "":
            return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _one_of(words: Sequence[str]) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in words, f"must be one of {', '.join(words)}")


_PARSERS: Final[dict[Any, Callable[[str], object]]] = {
    str: str,
    Path: Path,
    int: _whole,
    float: _number,
    bool: _boolean,
}
_POSITIVE: Final = (lambda value: value >= 1, "must be at least 1")
_SECONDS: Final = (lambda value: 0 <= value < float("inf"), "must be a number of seconds, not negative")
_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "model_id": (bool, "must not be empty"),
    "type": _one_of(tuple(ModelType)),
    "port": (lambda value: 0 <= value <= 65535, "must be between 0 and 65535"),
    "device": _one_of(tuple(Device)),
    "dtype": _one_of(tuple(Dtype)),
    "engine": _one_of(tuple(EngineName)),
    "max_length": _POSITIVE,
    "suggested_temperature": (lambda value: 0 <= value <= 2, "must be between 0 and 2"),
    "max_running": _POSITIVE,
    "max_queued": _POSITIVE,
    "threads": _POSITIVE,
    "drain_delay": _SECONDS,
    "drain_timeout": _SECONDS,
    "max_connections": _POSITIVE,
    "max_header_bytes": _POSITIVE,
    "max_headers": _POSITIVE,
    "header_timeout": _SECONDS,
    "max_body_bytes": _POSITIVE,
    "body_timeout": _SECONDS,
    "stall_timeout": _SECONDS,
    "log_level": _one_of(LOG_LEVELS),
}
_HELP: Final = {
    "model_dir": "the model directory: config, tokenizer and safetensors",
    "model_id": "the id that callers use (metadata.name of the HFModel)",
    "model": "the Hugging Face repo id, shown, and accepted in place of the id",
    "revision": "the commit that lies in the directory, shown",
    "type": f"how /chat forms a prompt: {', '.join(ModelType)}",
    "host": "address to listen on",
    "port": "port to listen on; 0 is any free one",
    "device": ", ".join(Device),
    "dtype": ", ".join(Dtype),
    "engine": ", ".join(EngineName),
    "max_length": "tokens of prompt and answer, below the model's own limit",
    "suggested_temperature": "temperature of requests that name none",
    "max_running": "sequences in the batch",
    "max_queued": "sequences waiting for a place in the batch",
    "threads": "CPU threads of the engine; by default what the CPU quota allows",
    "trust_remote_code": "run Python code that lies in the model directory",
    "allow_pickle": "load pickled weights (.bin)",
    "drain_delay": "seconds to go on serving after SIGTERM while the news spreads",
    "drain_timeout": "seconds that running requests have to finish after that",
    "max_connections": "open connections; fewer where the process may not open as many files",
    "max_header_bytes": "of a request's line and headers",
    "max_headers": "of a request",
    "header_timeout": "seconds for all headers to arrive",
    "max_body_bytes": "largest request body",
    "body_timeout": "seconds for the whole body to arrive",
    "stall_timeout": "seconds after which a caller that takes nothing of its answer is dropped",
    "termination_log": "file for the reason, as JSON, why loading failed",
    "log_level": ", ".join(LOG_LEVELS),
}
