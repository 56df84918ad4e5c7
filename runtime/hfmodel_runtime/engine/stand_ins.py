"""Stand-ins for modules of torch that are imported by many and used by none here.

A stand-in takes the place of a module while others are imported. Whoever wants more of it than a few names gets the
real one, and with it all of torch: compiling and exporting need what is left out of a start.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_DYNAMO: Final = "torch._dynamo"
_TRACE: Final = "torch._dynamo._trace_wrapped_higher_order_op"
_EXPORT: Final = "torch.export"
# How operators work on tensors without memory, where that is written in Python; imported for its effect alone.
_META: Final = ("torch._meta_registrations", "torch.distributed._meta_registrations")
_NEED_ALL: Final = frozenset({_DYNAMO, _EXPORT, "torch._export", "torch._inductor"})


@contextmanager
def stand_ins() -> Iterator[None]:
    """In the block there are stand-ins for what is not imported yet; after it, the real ones can be imported again."""
    names = {name: names for name, names in _names().items() if _is_missing(name)}
    if not names:
        yield
        return
    finder = _Submodules()
    sys.modules.update({name: _StandIn(name, given) for name, given in names.items()})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _take_away()
        if _WHOLE not in sys.meta_path:
            sys.meta_path.insert(0, _WHOLE)


def whole_torch() -> None:
    """Import what a stand-in took the place of and torch has by itself, if any."""
    _take_away()
    if _WHOLE in sys.meta_path:
        sys.meta_path.remove(_WHOLE)
    for name in _META:
        importlib.import_module(name)


def _names() -> Mapping[str, Mapping[str, Any]]:
    """What stands in for each: decorators that change nothing mean nothing to code that is not compiled."""
    return {
        _DYNAMO: {"disable": _plain, "allow_in_graph": _plain, "assume_constant_result": _plain},
        _TRACE: {"TransformGetItemToIndex": _index_mode},
        _EXPORT: {},
        **{name: {} for name in _META},
    }


def _is_missing(name: str) -> bool:
    # Once the real torch._dynamo is there, nothing is gained without its parts; torch.export is a part of torch itself.
    if name in {_EXPORT, *_META}:
        return "torch" not in sys.modules
    return _DYNAMO not in sys.modules


class _StandIn(ModuleType):
    """A module with a few names; any other is a reason to import the real one."""

    def __init__(self, name: str, names: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


class _Submodules(MetaPathFinder, Loader):
    """Finds what else there is in a package that has a stand-in: whoever imports that wants the real one."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        package = fullname.rpartition(".")[0]
        return ModuleSpec(fullname, self) if isinstance(sys.modules.get(package), _StandIn) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _real(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it was executed when it was imported."""


class _WholeTorch(MetaPathFinder):
    """Finds nothing, but completes torch before what needs all of it is imported."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname in _NEED_ALL:
            whole_torch()


_WHOLE: Final = _WholeTorch()


def _take_away() -> None:
    for name in _names():
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _real(name: str) -> ModuleType:
    whole_torch()
    return importlib.import_module(name)


def _plain(function: Any = None, *_: object, **__: object) -> Any:
    """A decorator that changes nothing, with or without arguments."""
    return _plain if function is None else function


def _index_mode() -> Any:
    """torch's `TransformGetItemToIndex`, imported when it is used: few models' masks need it."""
    return _real(_TRACE).TransformGetItemToIndex()
