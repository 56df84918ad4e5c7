"""The GPUs that a loaded model runs on, as `/info` tells of them."""

from hfmodel_api.wire import RuntimeInfo


def with_gpu_memory(info: RuntimeInfo) -> RuntimeInfo:
    """`info`, and how much memory each of its GPUs has; as it is where it runs on none."""
    if not info.cuda_devices:
        return info
    # Here torch has been imported long ago, by the engine; this package alone does not need it.
    import torch

    sizes = (torch.cuda.get_device_properties(index).total_memory for index in range(len(info.cuda_devices)))
    return info.model_copy(update={"cuda_memory_bytes": tuple(sizes)})
