"""Importing what the engine is made of, and nothing else: most of a start is imports.

torch and transformers pull in what only training, compiling and exporting need: torch.distributed's tensors,
torch._dynamo with sympy behind it, torch.export, and lists of all models. Together they take longer than all that is
needed. So transformers is told, in its own terms, that there is no torch.distributed (a runtime is one process),
modules that nobody uses have stand-ins (`stand_ins`), and lists are made when they are asked for
(`transformers_names`). Whoever wants more, such as a model's own code, gets the real ones, at any time.
"""

import importlib
import sys
from typing import Final

from hfmodel_runtime.engine.stand_ins import stand_ins
from hfmodel_runtime.engine.transformers_names import import_transformers
from hfmodel_runtime.garbage import uncollected

MODULES: Final = (
    "transformers.generation.utils",
    "transformers.masking_utils",
    "transformers.modeling_layers",
    "transformers.modeling_rope_utils",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "hfmodel_runtime.engine.loader",
)


def import_engine() -> None:
    """Import everything that loading any model needs, once; seconds.

    Raises:
        ImportError: torch or transformers is not installed, or broken.
    """
    with uncollected(), stand_ins():
        importlib.import_module("torch")
        _allow_generators()
        import_transformers()
        _forget_distributed()
        for name in MODULES:
            importlib.import_module(name)


def _allow_generators() -> None:
    """What torch._prims does for random numbers: it came with what has a stand-in, and is large."""
    import torch
    from torch._opaque_base import OpaqueBaseMeta

    if "torch._prims" not in sys.modules:
        torch._C._set_generator_metaclass(OpaqueBaseMeta)


def _forget_distributed() -> None:
    """Let transformers note that there is no torch.distributed; torch itself keeps it."""
    from torch import distributed
    from transformers.utils.import_utils import is_torch_distributed_available

    is_available = distributed.is_available
    distributed.is_available = lambda: False
    try:
        is_torch_distributed_available()  # asks once, and remembers
    finally:
        distributed.is_available = is_available
