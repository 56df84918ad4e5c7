"""transformers' list of all that it has, put off until somebody asks for a name that is not known yet.

To know which module has which class, transformers reads the sources of its hundreds of models whenever it is imported,
three times. A start imports the few modules that it needs by their own names, and asks for none of that.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_LISTS: Final = "transformers.utils.import_utils"  # what reads the sources, and the class of modules that know the list

_TOKENIZER: Final = "Tokenizer"

_Names = dict[frozenset[str], dict[str, set[str]]]  # by the packages that they need, and by module


def import_transformers() -> None:
    """Import it; unless it is there already, it will read its models' sources only if asked for what is in them."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("transformers")
    finally:
        sys.meta_path.remove(finder)


class _NotRead(dict[frozenset[str], dict[str, set[str]]]):
    """Names, without those of the models."""

    def __init__(self, read: Callable[[], _Names]) -> None:
        super().__init__({frozenset(): {}})
        self.read = read


class _Finder(MetaPathFinder, Loader):
    """Finds `_LISTS`, and changes in it what makes the list and what uses it."""

    _loader: Any = None

    def find_spec(self, fullname: str, path: Any, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == _LISTS else None
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        lists: Any = module
        define = lists.define_import_structure

        def unless_models(path: str | Path, prefix: str | None = None) -> _Names:
            return _NotRead(lambda: define(path, prefix=prefix)) if _is_models(path) else define(path, prefix=prefix)

        lists.define_import_structure = unless_models
        lists._LazyModule = _completing(lists._LazyModule)


def _is_models(path: str | Path) -> bool:
    # Asked for by the folder or by the `__init__.py` in it.
    return Path(path).parts[-2:] == ("transformers", "models") or Path(path).parts[-3:-1] == ("transformers", "models")


def _completing(lazy: Any) -> Any:
    """The class of transformers' modules, which reads what was not read when somebody needs it."""

    class Completing(lazy):  # type: ignore[misc] # Any
        _not_read: _NotRead | None = None

        def __init__(self, name: str, module_file: str, import_structure: _Names, *others: Any, **named: Any) -> None:
            super().__init__(name, module_file, import_structure, *others, **named)
            if isinstance(import_structure, _NotRead):
                self._not_read = import_structure
                del self.__all__  # so that `import *` asks for it

        def __getattr__(self, name: str) -> Any:
            if self._not_read is None or self._knows(name):
                return super().__getattr__(name)
            if name != "__all__" and (found := _found_by_name(self.__name__, name)) is not None:
                return found
            self._read()
            return getattr(self, name)

        def __dir__(self) -> list[str]:
            self._read()
            return list(super().__dir__())

        def _knows(self, name: str) -> bool:
            # Not by asking: what it does not know it looks for in roundabout ways, some of which would not end.
            special = name.startswith("__") and name != "__all__"
            known = (self._objects, self._class_to_module, self._object_missing_backend, self._modules)
            return special or any(name in names for names in known)

        def _read(self) -> None:
            not_read, self._not_read = self._not_read, None
            if not_read is not None:
                _complete(self, not_read, lazy)

    return Completing


def _found_by_name(package: str, name: str) -> Any:
    """A module of that name; or a tokenizer, which loading one asks for, where such classes are; None: neither."""
    if find_spec(f"{package}.{name}") is not None:
        return importlib.import_module(f"{package}.{name}")
    model = name.removesuffix(_TOKENIZER).lower()
    where = f"transformers.models.{model}.tokenization_{model}"
    if not name.endswith(_TOKENIZER) or not model.isidentifier() or not (_models() / model).is_dir():
        return None
    return getattr(importlib.import_module(where), name, None) if find_spec(where) is not None else None


def _models() -> Path:
    return Path(sys.modules["transformers"].__path__[0]) / "models"


def _complete(module: Any, not_read: _NotRead, lazy: Any) -> None:
    names = not_read.read()
    names.setdefault(frozenset(), {}).update(not_read[frozenset()])
    whole = lazy(module.__name__, module.__file__, names)
    for known in ("_modules", "_class_to_module", "_object_missing_backend", "_import_structure", "__all__"):
        setattr(module, known, getattr(whole, known))
