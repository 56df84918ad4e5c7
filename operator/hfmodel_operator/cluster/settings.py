"""What an administrator tells the operator, read once from the environment."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hfmodel_api.errors import HFModelError, InvalidManifest
from hfmodel_api.sizes import parse_bytes
from hfmodel_api.spec import EnvVar, Resources
from hfmodel_operator.cluster.fetch_settings import (
    DEFAULT_RESOURCES,
    parse_endpoint,
    parse_environment,
    parse_resources,
)
from hfmodel_operator.cluster.profiles import Profile, read_profiles
from hfmodel_operator.keep import keeper_name

_SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class InvalidSettings(HFModelError):
    """A setting that is missing or wrong; the text begins with the variable's name."""


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """The Hugging Face token of the installation, for models that name none."""

    name: str
    key: str = "HF_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Durations are in seconds."""

    namespace: str
    image: str  # of the runtime, for models that name none
    gpu_image: str = ""  # the same for models that ask for GPUs; empty: `image`
    cache_claim: str  # the PersistentVolumeClaim that holds the cache
    cache_limit: int | None = None  # bytes; None: nothing is ever removed from it
    cache_keeper: str = ""  # who says what must stay in it; empty: namespace and Lease
    identity: str = "hfmodel-operator"  # of this process, in the Lease
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    base_url: str = ""  # of the router, for status.url
    max_loaded_models: int | None = None
    token_secret: TokenSecret | None = None
    hub_endpoint: str = ""  # a mirror, for models that name none; empty: the Hub itself
    hub_offline: bool = False  # nobody is asked: what is not in the cache cannot be fetched
    fetch_env: tuple[EnvVar, ...] = field(default=(), repr=False)  # of all containers that fetch; may hold a password
    fetch_resources: Resources = DEFAULT_RESOURCES
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    runtime_port: int = 8080
    drain_delay: int = 5
    drain_timeout: int = 300
    lease_name: str = "hfmodel-operator"
    lease_seconds: int = 15
    health_port: int = 8081  # 0: no liveness endpoint
    resync_seconds: int = 60
    heartbeat_seconds: float = 1.0  # between looks while pods serve
    log_level: str = "info"

    @property
    def keeper(self) -> str:
        """The name of this installation among those that share a cache; it stays the same."""
        return keeper_name(self.cache_keeper or f"{self.namespace}/{self.lease_name}")


def settings_from_environment(environment: Mapping[str, str]) -> ClusterSettings:
    """Raises InvalidSettings, which names the variable."""
    values: dict[str, Any] = {"namespace": _namespace(environment), "identity": _identity(environment)}
    for variable, (name, parse) in _VARIABLES.items():
        text = environment.get(variable, "").strip()
        if not text:
            continue
        try:
            values[name] = parse(text)
        except (ValueError, InvalidManifest) as error:
            raise InvalidSettings(f"{variable}: {error}") from None
    for variable in ("HFMODEL_RUNTIME_IMAGE", "HFMODEL_CACHE_CLAIM"):
        if _VARIABLES[variable][0] not in values:
            raise InvalidSettings(f"{variable} is not set")
    return ClusterSettings(**values)


def _namespace(environment: Mapping[str, str]) -> str:
    for variable in ("WATCH_NAMESPACE", "POD_NAMESPACE"):
        if environment.get(variable, "").strip():
            return environment[variable].strip()
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        raise InvalidSettings("WATCH_NAMESPACE is not set, and this is no pod that would have a namespace") from None


def _identity(environment: Mapping[str, str]) -> str:
    return environment.get("POD_NAME", "").strip() or socket.gethostname()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is not a number of seconds above 0")
    return value


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text == "true"


def _token_secret(text: str) -> TokenSecret:
    name, _, key = text.partition("/")
    return TokenSecret(name, key or "HF_TOKEN")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return parse


_VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "HFMODEL_RUNTIME_IMAGE": ("image", str),
    "HFMODEL_RUNTIME_GPU_IMAGE": ("gpu_image", str),
    "HFMODEL_CACHE_CLAIM": ("cache_claim", str),
    "HFMODEL_CACHE_LIMIT": ("cache_limit", parse_bytes),
    "HFMODEL_CACHE_KEEPER": ("cache_keeper", str),
    "HFMODEL_PROFILES": ("profiles", lambda text: read_profiles(Path(text))),
    "HFMODEL_BASE_URL": ("base_url", str),
    "HFMODEL_MAX_LOADED_MODELS": ("max_loaded_models", _count),
    "HFMODEL_TOKEN_SECRET": ("token_secret", _token_secret),
    "HFMODEL_HUB_ENDPOINT": ("hub_endpoint", parse_endpoint),
    "HFMODEL_HUB_OFFLINE": ("hub_offline", _flag),
    "HFMODEL_FETCH_ENV": ("fetch_env", parse_environment),
    "HFMODEL_FETCH_RESOURCES": ("fetch_resources", parse_resources),
    "HFMODEL_IMAGE_PULL_POLICY": ("image_pull_policy", _one_of("Always", "IfNotPresent", "Never")),
    "HFMODEL_IMAGE_PULL_SECRETS": ("image_pull_secrets", _list),
    "HFMODEL_RUNTIME_PORT": ("runtime_port", _port),
    "HFMODEL_DRAIN_DELAY": ("drain_delay", _count),
    "HFMODEL_DRAIN_TIMEOUT": ("drain_timeout", _count),
    "HFMODEL_LEASE_NAME": ("lease_name", str),
    "HFMODEL_LEASE_SECONDS": ("lease_seconds", _count),
    "HFMODEL_HEALTH_PORT": ("health_port", _port),
    "HFMODEL_RESYNC_SECONDS": ("resync_seconds", _count),
    "HFMODEL_HEARTBEAT_SECONDS": ("heartbeat_seconds", _seconds),
    "HFMODEL_LOG_LEVEL": ("log_level", _one_of(*LOG_LEVELS)),
}
