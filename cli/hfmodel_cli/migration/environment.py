"""The old server's environment, read from a file of NAME=value lines (`.env`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from dotenv.parser import parse_stream
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hfmodel_api import patterns
from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.validation import field_errors, shown

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+/?")
_LEVELS = {"warn": "warning", "critical": "error", "fatal": "error"}
# Variables that something else reads, or that say nothing any more: what happens instead.
_GONE = {
    "WORKERS": "one router serves any number of requests at once; router.replicas runs several in a cluster",
    "HUGGINGFACE_TOKEN": "use HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN": "use HF_TOKEN",
}


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{shown(origin)} is not an origin: write https://host, separated by commas, or *")
    return origins


def _level(text: str) -> str:
    level = text.strip().lower()
    return _LEVELS.get(level, level)


def _endpoint(text: str) -> str:
    endpoint = text.strip().rstrip("/")
    if not re.fullmatch(patterns.ENDPOINT, endpoint):
        # It is not repeated: there may be a password in it.
        raise ValueError(f"is not {patterns.EXPLANATIONS[patterns.ENDPOINT]}")
    return endpoint


class OldEnvironment(BaseModel):
    """The variables that still mean something; None where a variable is not set. Secrets are not kept."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    HOST: str | None = None
    PORT: Annotated[int, Field(ge=1, le=65535)] | None = None
    DEFAULT_MODEL: str | None = None
    HF_HOME: str | None = None
    MAX_CONCURRENT_MODELS: Annotated[int, Field(ge=1)] | None = None
    AUTO_UNLOAD_MINUTES: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] | None = None
    CORS_ORIGINS: Annotated[tuple[str, ...], BeforeValidator(_origins)] = ()
    ENABLE_METRICS: bool | None = None
    LOG_LEVEL: Annotated[str, BeforeValidator(_level)] | None = None
    MODEL_CONFIG_PATH: str | None = None
    HF_ENDPOINT: Annotated[str, BeforeValidator(_endpoint)] | None = None
    HF_HUB_OFFLINE: bool | None = None
    HF_TOKEN: Annotated[bool, BeforeValidator(bool)] = False
    API_KEY: Annotated[bool, BeforeValidator(bool)] = False

    def settings(self) -> dict[str, Any]:
        """Those that the old server took in place of settings in its models.yaml."""
        settings = {
            "max_concurrent_models": self.MAX_CONCURRENT_MODELS,
            "auto_unload_after_minutes": self.AUTO_UNLOAD_MINUTES,
            "log_level": self.LOG_LEVEL,
        }
        return {name: value for name, value in settings.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReadEnvironment:
    values: OldEnvironment
    notes: tuple[str, ...] = ()


def read_environment(path: Path) -> ReadEnvironment:
    """The old server's variables in the file at `path`.

    Raises:
        InvalidManifest: a line is no NAME=value, or a variable has a value that the old server did not take. The text
            never repeats a value that may be a secret.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    variables = _variables(path)
    given = {name: value for name, value in variables.items() if value.strip()}
    notes = [f"{name} has no equivalent: {_GONE[name]}" for name in given if name in _GONE]
    known = {*OldEnvironment.model_fields, *_GONE}
    notes += [f"{name} is not known and was ignored" for name in given if name not in known]
    try:
        return ReadEnvironment(OldEnvironment.model_validate(given), tuple(notes))
    except ValidationError as error:
        raise InvalidManifest(field_errors(error), origin=str(path)) from None


def _variables(path: Path) -> Mapping[str, str]:
    variables: dict[str, str] = {}
    with path.open(encoding="utf-8-sig") as file:
        for binding in parse_stream(file):
            if binding.error or (binding.key is not None and binding.value is None):
                # The line may hold a secret.
                error = FieldError("", "is not NAME=value")
                raise InvalidManifest((error,), origin=f"{path}:{binding.original.line}")
            if binding.key is not None and binding.value is not None:
                variables[binding.key] = binding.value
    return variables
