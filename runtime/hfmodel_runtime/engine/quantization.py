"""Weights that are stored quantised: whether they can be loaded here is asked of transformers, before it loads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers.quantizers.auto import AutoHfQuantizer

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure

_ADVICE = "use a repository of the model without quantisation, or with fp8"


@dataclass(frozen=True, slots=True)
class Quantization:
    """How weights are stored. `unpacked`: transformers makes plain ones of them while it loads."""

    scheme: str
    unpacked: bool


def check_quantization(config: Mapping[str, Any], *, device_map: Any) -> Quantization | None:
    """None where config.json names none.

    Args:
        device_map: what the model will be loaded with.

    Raises:
        LoadFailure: this image, or this machine, cannot load them.
    """
    stored = config.get("quantization_config") or config.get("compression_config")
    if stored is None:
        return None
    if not isinstance(stored, dict):
        raise LoadFailure(Reason.CONFIG_INVALID, "quantization_config in config.json is not an object")
    scheme = _scheme(stored)
    try:
        quantizer = AutoHfQuantizer.from_config(dict(stored), pre_quantized=True)
        quantizer.validate_environment(device_map=device_map, weights_only=True)
    except ImportError as error:
        raise _refused(f"{scheme}, which needs what this image lacks: {_first_line(error)}; {_ADVICE}") from error
    except Exception as error:
        # Each scheme checks its config and the machine in its own way.
        raise _refused(f"{scheme}, which cannot be loaded here: {_first_line(error)}; {_ADVICE}") from error
    return Quantization(scheme, unpacked=bool(getattr(quantizer.quantization_config, "dequantize", False)))


def _scheme(stored: Mapping[str, Any]) -> str:
    bitsandbytes = stored.get("load_in_4bit") or stored.get("load_in_8bit")
    return str(stored.get("quant_method") or ("bitsandbytes" if bitsandbytes else "an unnamed scheme"))


def _refused(how: str) -> LoadFailure:
    return LoadFailure(Reason.ARCHITECTURE_NOT_SUPPORTED, f"the weights are quantised with {how}")


def _first_line(error: Exception) -> str:
    # What follows is a list of everything that transformers knows, or advice to run pip.
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line.partition(" - supported types")[0].rstrip(". ")
