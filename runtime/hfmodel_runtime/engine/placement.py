"""Where a model is computed and in which format, from what is asked for and what the machine has."""

import logging

import torch

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.machine import Machine
from hfmodel_runtime.engine.stored import StoredWeights

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(wanted: str, machine: Machine) -> torch.device:
    """`auto` is the GPU if there is one.

    Raises:
        LoadFailure: a GPU is asked for and there is none.
    """
    present = wanted != "cpu" and bool(machine.gpus())
    if wanted == "cuda" and not present:
        raise LoadFailure(
            Reason.DEVICE_NOT_AVAILABLE,
            "device cuda was asked for, but this container sees no GPU; set spec.gpu, or device: auto",
        )
    return torch.device("cuda" if present else "cpu")


def choose_dtype(wanted: str, device: torch.device, machine: Machine, stored: StoredWeights) -> torch.dtype:
    """The format asked for. `auto` is on a GPU the half that it computes natively, on a CPU float32.

    Weights stored in 16 bits become bfloat16 on a CPU that has instructions for it; others are slower in halves than in
    float32.

    Raises:
        LoadFailure: the GPU cannot compute what is asked for.
    """
    if device.type == "cuda":
        return _on_gpu(wanted, machine)
    if wanted == "auto":
        return torch.bfloat16 if stored.half and machine.cpu_computes_bfloat16() else torch.float32
    if wanted == "float16":
        logger.warning("float16 is slow on a CPU; bfloat16 takes as little memory")
    return _DTYPES[wanted]


def _on_gpu(wanted: str, machine: Machine) -> torch.dtype:
    without = next((gpu for gpu in machine.gpus() if not gpu.bfloat16), None)
    if wanted == "auto":
        return torch.bfloat16 if without is None else torch.float16
    if wanted == "bfloat16" and without is not None:
        raise LoadFailure(
            Reason.DEVICE_NOT_AVAILABLE, f"{without.name} does not compute bfloat16; set dtype: float16, or auto"
        )
    return _DTYPES[wanted]
