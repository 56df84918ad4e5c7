"""What the old server's settings come to: options of `hfmodel up`, and Helm values of the chart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hfmodel_api.models_yaml import OldSettings, new_id
from hfmodel_cli.migration.environment import OldEnvironment

LEVELS = ("debug", "info", "warning", "error")  # that router, operator and `hfmodel up` know
TOKEN_SECRET = ("hf-token", "HF_TOKEN")
KEY_SECRET = ("hfmodel-api-key", "API_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class OldServer:
    """Everything that was set, the environment's word before the file's."""

    settings: OldSettings
    environment: OldEnvironment
    model_ids: Sequence[str]  # as they are called now

    @property
    def level(self) -> str:
        return self.settings.log_level.lower()

    @property
    def default_model(self) -> str | None:
        name = new_id(self.environment.DEFAULT_MODEL or "")
        return name if name in self.model_ids else None


def up_options(old: OldServer) -> list[str]:
    """Options with which `hfmodel up` serves as the old server did; secrets stay in the environment."""
    environment = old.environment
    options = ["--max-loaded", str(old.settings.max_concurrent_models)]
    for option, value in (
        ("--host", environment.HOST),
        ("--port", environment.PORT),
        ("--cache-dir", old.settings.cache_dir),
        ("--load", old.default_model),
        *(("--cors-origin", origin) for origin in environment.CORS_ORIGINS),
        ("--log-level", old.level if old.level in LEVELS and old.level != "info" else None),
    ):
        options += [] if value is None else [option, str(value)]
    return options


def helm_values(old: OldServer) -> dict[str, Any]:
    """Values of the chart, only what differs from its defaults."""
    environment = old.environment
    router: dict[str, Any] = {}
    if old.default_model is not None:
        router["defaultModel"] = old.default_model
    if environment.CORS_ORIGINS:
        router["corsOrigins"] = list(environment.CORS_ORIGINS)
    if environment.ENABLE_METRICS is False:
        router["metrics"] = False
    if environment.API_KEY:
        router["apiKeys"] = {"existingSecret": _secret(KEY_SECRET)}
    if environment.PORT is not None:
        router["service"] = {"port": environment.PORT}
    values: dict[str, Any] = {"runtime": {"maxLoadedModels": old.settings.max_concurrent_models}}
    hub: dict[str, Any] = {"existingSecret": _secret(TOKEN_SECRET)} if environment.HF_TOKEN else {}
    if environment.HF_ENDPOINT is not None:
        hub["endpoint"] = environment.HF_ENDPOINT
    if environment.HF_HUB_OFFLINE:
        hub["offline"] = True
    if hub:
        values["huggingface"] = hub
    if old.level in LEVELS and old.level != "info":
        router["logLevel"] = old.level
        values["operator"] = {"logLevel": old.level}
    return values | ({"router": router} if router else {})


def secret_commands(old: OldServer) -> list[str]:
    """Shell commands that make the Secrets which `helm_values` names, of variables that are set there."""
    wanted = ((old.environment.HF_TOKEN, TOKEN_SECRET), (old.environment.API_KEY, KEY_SECRET))
    return [
        f'kubectl create secret generic {name} --from-literal={key}="${key}"'
        for is_set, (name, key) in wanted
        if is_set
    ]


def target_notes(old: OldServer) -> Iterator[str]:
    """What is not as it was, beyond what reading the files told."""
    environment = old.environment
    if environment.DEFAULT_MODEL and old.default_model is None:
        yield f"DEFAULT_MODEL: {environment.DEFAULT_MODEL!r} is none of the models, and was ignored"
    if old.level not in LEVELS:
        yield f"the log level {old.settings.log_level!r} has no equivalent; it is one of {', '.join(LEVELS)}"
    if "*" in environment.CORS_ORIGINS:
        yield "CORS_ORIGINS: * lets every page call, but without credentials; name the origins that send them"
    if old.settings.cache_dir or environment.HF_HOME:
        where = "settings.cache_dir" if old.settings.cache_dir else "HF_HOME"
        yield f"{where}: weights are downloaded anew, for the cache has another layout; in a cluster it is a volume"


def _secret(secret: tuple[str, str]) -> dict[str, str]:
    return {"name": secret[0], "key": secret[1]}
