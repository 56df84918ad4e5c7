"""Which transformers class computes a model, read from its config, never guessed from what it is used for."""

from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
)

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.selftest import VERIFIED

SUPPORTED = f"Served are causal and sequence-to-sequence language models: {', '.join(sorted(VERIFIED))} and their like"


def check_architecture(config: dict[str, Any], *, trust_remote_code: bool) -> None:
    """Whether a class of transformers can generate text with this config.json.

    Raises:
        LoadFailure: it needs code from its repository, or has nothing that generates text.
    """
    model_type, name = config["model_type"], architecture_name(config)
    remote = bool(config.get("auto_map"))
    if remote and trust_remote_code:
        return
    if _native(model_type, name):
        return
    if remote:
        raise LoadFailure(
            Reason.REMOTE_CODE_REQUIRED,
            f"{name} comes with code of its own, which is not run unless you set trustRemoteCode: true",
        )
    if model_type not in CONFIG_MAPPING_NAMES:
        raise LoadFailure(
            Reason.ARCHITECTURE_NOT_SUPPORTED,
            f"{described(config)} is unknown to this version of transformers; a newer image may know it. {SUPPORTED}",
        )
    raise LoadFailure(
        Reason.ARCHITECTURE_NOT_SUPPORTED,
        f"{described(config)} does not go from text to text. {SUPPORTED}",
    )


def architecture_name(config: dict[str, Any]) -> str:
    """The class that config.json names, or its model type where it names none."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else str(config["model_type"])


def described(config: dict[str, Any]) -> str:
    """The architecture as a refusal names it: its class and its model type."""
    return f"{architecture_name(config)} (model_type {config['model_type']})"


def auto_class(config: Any) -> Any:
    """The Auto class for a loaded config."""
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _native(model_type: str, name: str) -> bool:
    known = {
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type),
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.get(model_type),
    } - {None}
    return bool(known) and (name in known or name == model_type)
