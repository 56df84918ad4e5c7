"""Importing what the engine is made of, and nothing else: most of a start is imports.

transformers pulls in what only training and compiling need: torch.distributed's tensors, and torch._dynamo with sympy
behind it. Together they take as long as all that is needed. So transformers is told, in its own terms, that there is no
torch.distributed (a runtime is one process), and finds a stand-in for torch._dynamo while it is imported and while it
builds a model: the decorators that it takes from there mean nothing to code that is not compiled. Whoever wants more of
torch._dynamo, such as a model's own code, gets the real one, at any time.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

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
_DYNAMO: Final = "torch._dynamo"
_TRACE: Final = "torch._dynamo._trace_wrapped_higher_order_op"


def import_engine() -> None:
    """Import everything that loading any model needs, once; seconds.

    Raises:
        ImportError: torch or transformers is not installed, or broken.
    """
    importlib.import_module("torch")
    with without_dynamo():
        _forget_distributed()
        for name in MODULES:
            importlib.import_module(name)


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


@contextmanager
def without_dynamo() -> Iterator[None]:
    """A stand-in for torch._dynamo, unless it is there already."""
    if _DYNAMO in sys.modules:
        yield
        return
    finder = _Submodules()
    sys.modules.update({_DYNAMO: _dynamo(), _TRACE: _trace()})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _take_away()


class _StandIn(ModuleType):
    """A module with a few names; any other is a reason to import the real one."""

    disable: Any
    allow_in_graph: Any
    assume_constant_result: Any
    TransformGetItemToIndex: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


class _Submodules(MetaPathFinder, Loader):
    """Finds what else there is in torch._dynamo: whoever imports that wants the real one."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        wanted = fullname.startswith(f"{_DYNAMO}.") and isinstance(sys.modules.get(_DYNAMO), _StandIn)
        return ModuleSpec(fullname, self) if wanted else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _real(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it was executed when it was imported."""


def _dynamo() -> ModuleType:
    module = _StandIn(_DYNAMO)
    module.__path__ = []
    module.disable = _plain
    module.allow_in_graph = _plain
    module.assume_constant_result = _plain
    return module


def _trace() -> ModuleType:
    module = _StandIn(_TRACE)
    module.TransformGetItemToIndex = _index_mode
    return module


def _take_away() -> None:
    for name in (_DYNAMO, _TRACE):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _real(name: str) -> ModuleType:
    _take_away()
    return importlib.import_module(name)


def _plain(function: Any = None, *_: object, **__: object) -> Any:
    """A decorator that changes nothing, with or without arguments."""
    return _plain if function is None else function


def _index_mode() -> Any:
    """torch's `TransformGetItemToIndex`, imported when it is used: few models' masks need it."""
    return _real(_TRACE).TransformGetItemToIndex()
