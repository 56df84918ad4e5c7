"""How an administrator's word on the containers that fetch is read: a mirror, variables, resources. Pure."""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from hfmodel_api import patterns
from hfmodel_api.spec import EnvVar, Resources
from hfmodel_api.validation import field_path, not_matching

# No limit: converting GGUF makes float32 of it in memory, and how much that is depends on the model.
DEFAULT_RESOURCES: Final = Resources(requests={"cpu": "100m", "memory": "512Mi"})

# What has a setting of its own, or is the operator's to say.
_TAKEN: Final = {
    "HOME": "is set by the operator",
    "HF_TOKEN": "comes from a Secret: huggingface.existingSecret, or spec.tokenSecretRef of a model",
    "HF_ENDPOINT": "is set by huggingface.endpoint (HFMODEL_HUB_ENDPOINT)",
    "HF_HUB_OFFLINE": "is set by huggingface.offline (HFMODEL_HUB_OFFLINE)",
}
_OF_THE_CACHE: Final = "HFMODEL_CACHE_"

_Parsed = TypeVar("_Parsed")
_ENVIRONMENT: Final = TypeAdapter(tuple[EnvVar, ...])
_RESOURCES: Final = TypeAdapter(Resources)


def parse_endpoint(text: str) -> str:
    """The address of a Hub, as `spec.source.hub.endpoint` takes it. Raises ValueError."""
    if not re.fullmatch(patterns.ENDPOINT, text):
        raise ValueError(not_matching(text, patterns.ENDPOINT))
    return text.rstrip("/")


def parse_environment(text: str) -> tuple[EnvVar, ...]:
    """A JSON list of variables, as in a container's `env`.

    Raises:
        ValueError: it is none, or a variable is the operator's own or there twice. A value is never repeated: that of
            a proxy may have a password in it.
    """
    variables = _parsed(_ENVIRONMENT, text)
    for number, name in enumerate(names := [variable.name for variable in variables]):
        if name.startswith(_OF_THE_CACHE):
            raise ValueError(f"{name} is set by the operator")
        if name in _TAKEN:
            raise ValueError(f"{name} {_TAKEN[name]}")
        if name in names[:number]:
            raise ValueError(f"{name} is there twice")
    return variables


def parse_resources(text: str) -> Resources:
    """Requests and limits of a container as JSON; `{}` for none. Raises ValueError."""
    return _parsed(_RESOURCES, text)


def environment_entries(variables: Iterable[EnvVar]) -> list[dict[str, Any]]:
    """Variables as they stand in a container's `env`."""
    return [variable.model_dump(mode="json", by_alias=True, exclude_none=True) for variable in variables]


def _parsed(adapter: TypeAdapter[_Parsed], text: str) -> _Parsed:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        where = field_path(first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {words}" if where else words) from None
