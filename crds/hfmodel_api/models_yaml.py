"""Reads the `models.yaml` of the server that this project replaces: its models as HFModels, its settings as a value.

What has no equivalent is said in `notes`, one sentence each, never dropped in silence.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hfmodel_api.documents import read_documents
from hfmodel_api.duration import format_duration
from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.names import API_VERSION, ID_MAX_LENGTH, KIND
from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import Device, Dtype, HFModel
from hfmodel_api.validation import field_errors

# The old name of a model's field, and the new.
FIELDS: Mapping[str, str] = {
    "name": "model",
    "type": "type",
    "size": "size",
    "description": "description",
    "max_length": "maxLength",
    "suggested_temperature": "suggestedTemperature",
    "gated": "gated",
}
# Settings that became fields of the spec with fewer values.
_CHOICES: Mapping[str, type[StrEnum]] = {"default_device": Device, "torch_dtype": Dtype}


class OldSettings(BaseModel):
    """`settings` of a models.yaml, with the old server's defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    max_concurrent_models: Annotated[int, Field(ge=1)] = 3
    auto_unload_after_minutes: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 30
    default_device: str = "auto"
    torch_dtype: str = "auto"
    trust_remote_code: bool = False
    cache_dir: str | None = None
    default_max_length: Annotated[int, Field(ge=1)] = 100
    log_level: str = "INFO"

    @property
    def idle_timeout(self) -> timedelta:
        return timedelta(minutes=self.auto_unload_after_minutes)


# Settings without an equivalent: the old default, and what happens instead.
_GONE: Mapping[str, tuple[Any, str]] = {
    "memory_cleanup_interval_minutes": (5, "an idle model goes with its whole process, so nothing is left to clean up"),
    "low_cpu_mem_usage": (True, "weights are always read without a second copy in memory"),
    "use_fast_tokenizer": (True, "the fast tokenizer is used wherever the model has one"),
    "max_batch_size": (4, "requests join and leave the running batch by themselves"),
    "log_model_loading": (True, "every load is logged"),
    "default_max_length": (100, "a /generate request that gives no max_length gets 100 tokens"),
}


@dataclass(frozen=True, slots=True)
class ModelsYaml:
    """A models.yaml, read. `models` has the good ones; each broken one is in `errors`."""

    models: tuple[HFModel, ...] = ()
    settings: OldSettings = field(default_factory=OldSettings)
    notes: tuple[str, ...] = ()
    errors: tuple[InvalidManifest, ...] = ()
    old_ids: Mapping[str, str] = field(default_factory=dict)  # what a model was called in the file, by its id


@dataclass(slots=True)
class _Findings:
    origin: str
    notes: list[str] = field(default_factory=list)
    errors: list[InvalidManifest] = field(default_factory=list)

    def refuse(self, *errors: FieldError) -> None:
        self.errors.append(InvalidManifest(errors, origin=self.origin))


def load_models_yaml(path: Path, *, settings: Mapping[str, Any] | None = None) -> ModelsYaml:
    """The models and settings of the file at `path`; never raises for what is in it.

    `settings` win over those of the file, as the old server's environment did.
    """
    read = read_documents(path)
    if read.errors:
        return ModelsYaml(errors=read.errors)
    documents = [document.value for document in read.documents]
    if len(documents) != 1 or not is_models_yaml(documents[0]):
        error = FieldError("models", "is required: a mapping of ids to models")
        return ModelsYaml(errors=(InvalidManifest((error,), origin=str(path)),))
    document = documents[0]
    own = document.get("settings") or {}
    if settings and isinstance(own, dict):
        document = {**document, "settings": {**own, **settings}}
    return read_models_yaml(document, origin=str(path))


def is_models_yaml(document: Any) -> bool:
    """Whether `document` is a models.yaml, and not a manifest or anything else."""
    if not isinstance(document, dict) or "kind" in document or "apiVersion" in document:
        return False
    return isinstance(document.get("models"), dict)


def read_models_yaml(document: Mapping[str, Any], *, origin: str) -> ModelsYaml:
    """A models.yaml that `is_models_yaml` recognised."""
    findings = _Findings(origin)
    settings = _settings(document.get("settings") or {}, findings)
    models: dict[str, HFModel] = {}
    old_ids: dict[str, str] = {}
    for old_id, entry in document["models"].items():
        model = _model(str(old_id), entry, settings, findings)
        if model is not None and model.id in models:
            findings.refuse(FieldError(f"models.{old_id}", f"becomes the id {model.id!r}, which another model has"))
        elif model is not None:
            models[model.id], old_ids[model.id] = model, str(old_id)
    gated = [model.id for model in models.values() if model.spec.gated]
    if gated:
        findings.notes.append(f"gated, so a download needs HF_TOKEN or spec.tokenSecretRef: {', '.join(gated)}")
    return ModelsYaml(tuple(models.values()), settings, tuple(findings.notes), tuple(findings.errors), old_ids)


def _settings(document: Any, findings: _Findings) -> OldSettings:
    if not isinstance(document, dict):
        findings.refuse(FieldError("settings", "must be a mapping"))
        return OldSettings()
    for name, value in document.items():
        if name in _GONE and value != _GONE[name][0]:
            findings.notes.append(f"settings.{name} has no equivalent: {_GONE[name][1]}")
        elif name not in _GONE and name not in OldSettings.model_fields:
            findings.notes.append(_unknown("settings", name, [*_GONE, *OldSettings.model_fields]))
    given = {name: value for name, value in document.items() if value is not None}
    for name, allowed in _CHOICES.items():
        value = given[name] = str(given.get(name, "auto")).removeprefix("torch.")
        if value not in set(allowed):
            findings.notes.append(f"settings.{name}: {value!r} has no equivalent, auto is used instead")
            given[name] = "auto"
    try:
        return OldSettings.model_validate(given)
    except ValidationError as error:
        findings.refuse(*field_errors(error, prefix="settings"))
        return OldSettings()


def _model(old_id: str, entry: Any, settings: OldSettings, findings: _Findings) -> HFModel | None:
    path = f"models.{old_id}"
    name = new_id(old_id)
    if not isinstance(entry, dict) or not name:
        findings.refuse(FieldError(path, "must be a mapping" if name else "has an id without a letter or digit"))
        return None
    if name != old_id:
        findings.notes.append(f"{path}: the id becomes {name!r}, as names in Kubernetes have it")
    findings.notes += [_unknown(path, key, FIELDS) for key in entry if key not in FIELDS]
    manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}}
    try:
        return parse_manifest({**manifest, "spec": _spec(entry, settings)})
    except InvalidManifest as error:
        findings.refuse(*(FieldError(_old_path(path, each.path), each.message) for each in error.errors))
        return None


def _unknown(path: str, key: str, known: Iterable[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f"{path}.{key} is not known and was ignored" + (f"; did you mean {close[0]}?" if close else "")


def new_id(old_id: str) -> str:
    """The name in Kubernetes that stands for the id of a models.yaml; empty if no letter or digit is in it."""
    parts = (re.sub(r"[^a-z0-9-]+", "-", part).strip("-") for part in old_id.lower().split("."))
    return ".".join(filter(None, parts))[:ID_MAX_LENGTH].rstrip("-.")


def _spec(entry: Mapping[str, Any], settings: OldSettings) -> dict[str, Any]:
    spec = {new: entry[old] for old, new in FIELDS.items() if entry.get(old) is not None}
    name = spec.get("model")
    folder = source_of_name(name) if isinstance(name, str) else None
    if folder is not None:
        spec["model"], spec["source"] = folder[0], {"path": folder[1]}
    return spec | {name: value for name, (value, old) in _from_settings(settings).items() if value != old}


def source_of_name(name: str) -> tuple[str, str] | None:
    """`spec.model` and `spec.source.path` for the `name` of a models.yaml that is a folder; None for a repo id.

    The old server handed the name to from_pretrained, which takes both.
    """
    if not name.startswith(("/", "./", "../", "~")):
        return None
    return re.sub(r"[^\w.-]+", "-", PurePosixPath(name).name).lstrip(".-"), name


def _from_settings(settings: OldSettings) -> dict[str, tuple[Any, Any]]:
    """Fields of every model's spec that come from the settings, each with the value that need not be written."""
    return {
        "device": (settings.default_device, "auto"),
        "dtype": (settings.torch_dtype, "auto"),
        "trustRemoteCode": (settings.trust_remote_code, False),
        "scaling": ({"idleTimeout": format_duration(settings.idle_timeout)}, {"idleTimeout": "30m"}),
    }


def _old_path(path: str, new_path: str) -> str:
    """Where the user finds the field at fault: the old name of a spec's field."""
    names = {f"spec.{new}": f"{path}.{old}" for old, new in FIELDS.items()}
    return names.get(new_path, f"{path}: {new_path}")
