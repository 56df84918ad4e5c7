"""Loading the weights: every one of them from the files, none made up."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.architecture import architecture_name, auto_class
from hfmodel_runtime.engine.directory import WeightFiles
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.quantization import Quantization
from hfmodel_runtime.engine.stand_ins import stand_ins, whole_torch

logger = logging.getLogger(__name__)

_SHOWN = 5


def load_model(
    files: WeightFiles,
    config: Any,
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Quantization | None,
    trust_remote_code: bool,
) -> Any:
    """The model, in evaluation mode, on its device.

    Raises:
        LoadFailure: files are missing, broken or do not fit the config.
    """
    name = architecture_name(config.to_dict())
    transformers_logging.disable_progress_bar()
    if trust_remote_code or device.type != "cpu":
        whole_torch()  # nobody knows what that code needs, and spreading a model over GPUs computes without memory

    def load() -> tuple[Any, dict[str, Any]]:
        loaded: tuple[Any, dict[str, Any]] = auto_class(config).from_pretrained(
            files.paths[0].parent,
            config=config,
            dtype=dtype,
            device_map=device_map(device),
            use_safetensors=not files.pickled,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # reported below, by name
            output_loading_info=True,
        )
        return loaded

    with _explained(name, device), stand_ins(), _without_values():
        try:
            model, found = load()
        except NotImplementedError:
            # A model is built without memory first, and some operators know how only once torch is whole.
            whole_torch()
            model, found = load()
    _check_complete(name, found)
    if quantization is not None and quantization.unpacked:
        # transformers makes bfloat16 of them, whatever dtype the others have.
        model.to(dtype)
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


@contextmanager
def _without_values() -> Iterator[None]:
    """No random values for weights without memory, which is what a model is built with before its files are mapped:
    there is nowhere to put them, and what torch imports for them takes half a second.
    """
    torch_init: Any = torch.nn.init
    fill = torch_init._no_grad_normal_

    def filled(tensor: torch.Tensor, *arguments: Any) -> Any:
        return tensor if tensor.is_meta else fill(tensor, *arguments)

    torch_init._no_grad_normal_ = filled
    try:
        yield
    finally:
        torch_init._no_grad_normal_ = fill


def device_map(device: torch.device) -> Any:
    """What transformers is to be told; all GPUs share one model."""
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
