"""What of an HFModel a runtime is told, on a cluster and on one machine alike. Pure."""

from typing import Any

from hfmodel_api.spec import HFModel


def serve_settings(model: HFModel) -> dict[str, Any]:
    """The settings of a runtime that follow from the spec alone, by their names there; None: the runtime's default."""
    spec = model.spec
    return {
        "model_id": model.id,
        "model": spec.model,
        "type": spec.type.value,
        "device": spec.device.value,
        "dtype": spec.dtype.value,
        "engine": spec.engine.value,
        "max_length": spec.max_length,
        "suggested_temperature": spec.suggested_temperature,
        "trust_remote_code": spec.trust_remote_code,
        "allow_pickle": spec.allow_pickle,
    }


def serve_options(settings: dict[str, Any]) -> list[str]:
    """The same as options of `hfmodel-runtime serve`."""
    return [f"--{name.replace('_', '-')}={_text(value)}" for name, value in settings.items() if value is not None]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
