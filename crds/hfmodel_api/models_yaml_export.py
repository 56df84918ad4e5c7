"""HFModels as a `models.yaml` of the server that this project replaces: the way back.

`read_models_yaml` makes the same HFModels of it, except for what `notes` says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hfmodel_api.models_yaml import FIELDS, OldSettings, source_of_name
from hfmodel_api.spec import HFModel, Source

_MINUTE = timedelta(minutes=1)
_MOST_MINUTES = 1_000_000  # that OldSettings takes
# The old server had these once for all models: the setting, and the field of each spec.
_SHARED = {
    "auto_unload_after_minutes": "scaling.idleTimeout",
    "default_device": "device",
    "torch_dtype": "dtype",
    "trust_remote_code": "trustRemoteCode",
}
_SHOWN = 5  # ids that a note lists


@dataclass(frozen=True, slots=True)
class ExportedModels:
    """A models.yaml, ready for YAML, and a sentence for each thing that it cannot say."""

    document: dict[str, Any]
    notes: tuple[str, ...] = ()


def export_models_yaml(models: Sequence[HFModel]) -> ExportedModels:
    """What a models.yaml can say of `models`, in their order."""
    settings = _settings(models)
    unsaid: dict[str, list[str]] = {}
    for model in models:
        for path in _unsaid(model, settings):
            unsaid.setdefault(path, []).append(model.id)
    document: dict[str, Any] = {"models": {model.id: _entry(model) for model in models}}
    if settings:
        document["settings"] = settings
    return ExportedModels(document, tuple(_note(path, ids) for path, ids in unsaid.items()))


def _entry(model: HFModel) -> dict[str, Any]:
    spec = model.spec.model_dump(mode="json", by_alias=True)
    # The old server wanted every field but the gate.
    entry = {old: spec[new] for old, new in FIELDS.items() if spec[new] is not None}
    entry["name"] = _name(model)
    if not model.spec.gated:
        del entry["gated"]
    return entry


def _name(model: HFModel) -> str:
    path = model.spec.source.path
    if path is None:
        return model.spec.model
    return path if source_of_name(path) else f"./{path}"


def _settings(models: Sequence[HFModel]) -> dict[str, Any]:
    """What all models have in common and the old server had as a setting, where it is not the default."""
    settings: dict[str, Any] = {}
    for name in _SHARED:
        values = {_shared(model, name) for model in models}
        value = values.pop() if len(values) == 1 else None
        if value is not None and value != OldSettings.model_fields[name].default:
            settings[name] = value
    return settings


def _shared(model: HFModel, setting: str) -> Any:
    """The value of a setting that says what `model` says; None if none does."""
    spec = model.spec
    match setting:
        case "default_device":
            return spec.device.value
        case "torch_dtype":
            return spec.dtype.value
        case "trust_remote_code":
            return spec.trust_remote_code
    idle = spec.scaling.idle_timeout
    minutes = idle / _MINUTE
    exact = minutes <= _MOST_MINUTES and timedelta(minutes=minutes) == idle
    return (int(minutes) if minutes.is_integer() else minutes) if exact else None


def _unsaid(model: HFModel, settings: dict[str, Any]) -> Iterator[str]:
    """Paths of what `model` says and the file does not."""
    for setting, path in _SHARED.items():
        if _shared(model, setting) != settings.get(setting, OldSettings.model_fields[setting].default):
            yield f"spec.{path}"
    said = {*FIELDS.values(), *_SHARED.values()}
    yield from (f"spec.{path}" for path in _given(model) if path not in said)
    where = model.spec.source.path
    if where is not None and source_of_name(_name(model)) != (model.spec.model, _name(model)):
        yield "spec.model"
    for name in ("labels", "annotations"):
        if getattr(model, name):
            yield f"metadata.{name}"


def _given(model: HFModel) -> Iterator[str]:
    """Fields of the spec that are not at their default; `scaling` and `cache` field by field."""
    for name, value in model.manifest()["spec"].items():
        if name in ("scaling", "cache"):
            yield from (f"{name}.{field}" for field in value)
        elif name != "source" or model.spec.source != Source(path=model.spec.source.path):
            yield name


def _note(path: str, ids: list[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"a models.yaml cannot say {path}: {', '.join(ids[:_SHOWN])}{more}"
