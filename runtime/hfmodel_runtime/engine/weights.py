"""Loading the weights: every one of them from the files, none made up."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.architecture import architecture_name, auto_class
from hfmodel_runtime.engine.directory import check_weights
from hfmodel_runtime.engine.failures import LoadFailure

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHOWN = 5


def choose_device(wanted: str) -> torch.device:
    """`auto` is the GPU if there is one.

    Raises:
        LoadFailure: a GPU is asked for and there is none.
    """
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise LoadFailure(
            Reason.DEVICE_NOT_AVAILABLE,
            "device cuda was asked for, but this container sees no GPU; set spec.gpu, or device: auto",
        )
    return torch.device("cuda" if wanted != "cpu" and present else "cpu")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` is float32 on a CPU, where halves are slower, and on a GPU the half that it computes natively."""
    if wanted != "auto":
        return _DTYPES[wanted]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def load_model(
    directory: Path,
    config: Any,
    *,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool,
    allow_pickle: bool,
) -> Any:
    """The model, in evaluation mode, on its device.

    Raises:
        LoadFailure: files are missing, broken or do not fit the config.
    """
    name = architecture_name(config.to_dict())
    safetensors = check_weights(directory, allow_pickle=allow_pickle)
    transformers_logging.disable_progress_bar()
    with _explained(name, device):
        model, found = auto_class(config).from_pretrained(
            directory,
            config=config,
            dtype=dtype,
            device_map=_device_map(device),
            use_safetensors=safetensors,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # reported below, by name
            output_loading_info=True,
        )
    _check_complete(name, found)
    return model.eval()


@contextmanager
def _explained(name: str, device: torch.device) -> Iterator[None]:
    """Turns what loading `name` may raise into a LoadFailure."""
    try:
        yield
    except ImportError as error:
        raise LoadFailure(
            Reason.ARCHITECTURE_NOT_SUPPORTED, f"{name} needs a package that this image lacks: {error}"
        ) from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LoadFailure(
            Reason.OUT_OF_MEMORY, f"the weights of {name} do not fit into the memory of {device}: {error}"
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"the weights of {name} cannot be loaded: {error}") from error
    except Exception as error:
        # What a config makes of a model class can fail in any way.
        raise LoadFailure(Reason.CONFIG_INVALID, f"transformers cannot build {name}: {error}") from error


def _device_map(device: torch.device) -> Any:
    if device.type == "cpu":
        return None
    return "auto" if torch.cuda.device_count() > 1 else {"": 0}


def _check_complete(name: str, found: dict[str, Any]) -> None:
    """Transformers only warns about weights that it had to make up; they would give fluent nonsense."""
    wrong = [*sorted(found["missing_keys"]), *(str(key[0]) for key in found["mismatched_keys"])]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise LoadFailure(
            Reason.WEIGHTS_INVALID,
            f"the files lack weights that {name} needs, or have them in another shape: "
            f"{', '.join(wrong[:_SHOWN])}{more}; download the model again",
        )
    if found["unexpected_keys"]:
        logger.info("weights not used count=%d", len(found["unexpected_keys"]))
