"""Reads catalogues: a file or a folder of HFModel manifests, or an old server's models.yaml."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hfmodel_api.documents import Document, read_documents
from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.models_yaml import OldSettings, is_models_yaml, read_models_yaml
from hfmodel_api.names import GROUP, KIND
from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import HFModel

__all__ = ["LoadedManifests", "load_manifests", "parse_manifest"]

logger = logging.getLogger(__name__)

_SUFFIXES = (".yaml", ".yml", ".json")
_MODEL_CONFIG = "config.json"
_NOT_MANIFESTS = ("kustomization.yaml", "kustomization.yml")
_LISTS = ("List", f"{KIND}List")


@dataclass(frozen=True, slots=True)
class LoadedManifests:
    """What a catalogue holds, the good and the broken, in the order of the files."""

    models: tuple[HFModel, ...] = ()
    errors: tuple[InvalidManifest, ...] = ()
    origins: Mapping[str, Path] = field(default_factory=dict)  # by model id; a relative source.path starts there
    settings: OldSettings | None = None  # of an old server's models.yaml, if there is one
    notes: tuple[str, ...] = ()  # what of it has no equivalent


@dataclass(slots=True)
class _Catalogue:
    models: dict[str, HFModel] = field(default_factory=dict)
    errors: list[InvalidManifest] = field(default_factory=list)
    origins: dict[str, Path] = field(default_factory=dict)
    settings: OldSettings | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, model: HFModel, path: Path, *, origin: str) -> None:
        if model.id in self.models:
            error = FieldError("metadata.name", f"{model.id!r} is defined in {self.origins[model.id]} already")
            self.errors.append(InvalidManifest((error,), origin=origin))
            return
        self.models[model.id] = model
        self.origins[model.id] = path


def load_manifests(path: Path) -> LoadedManifests:
    """Every HFModel of a file (YAML of many documents, JSON, `kind: List`, an old models.yaml) or of a folder.

    A folder is read with its subfolders, sorted, without hidden files and without folders that hold a model's weights.
    Documents of other kinds are passed over. Of two HFModels with one name the first stays and the other is an error.
    Never raises for what it finds: what is broken is in `errors` and hides nothing else.
    """
    catalogue = _Catalogue()
    if not path.exists():
        catalogue.errors.append(InvalidManifest((FieldError("", "no such file or folder"),), origin=str(path)))
    for file in _files(path):
        _read(file, catalogue)
    return LoadedManifests(
        models=tuple(catalogue.models.values()),
        errors=tuple(catalogue.errors),
        origins=catalogue.origins,
        settings=catalogue.settings,
        notes=tuple(catalogue.notes),
    )


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        if _MODEL_CONFIG in names and Path(folder) != path:
            folders.clear()  # a model's weights beside its manifest: tokenizer.json and the like are no manifests
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            hidden = name.startswith(".") or name in _NOT_MANIFESTS
            # Not a pipe or a device; a link to a file is fine, as a mounted ConfigMap has them.
            if name.endswith(_SUFFIXES) and not hidden and file.is_file():
                yield file


def _read(path: Path, catalogue: _Catalogue) -> None:
    read = read_documents(path)
    catalogue.errors.extend(read.errors)
    for document in read.documents:
        if is_models_yaml(document.value):
            _add_models_yaml(document, path, catalogue)
            continue
        for manifest, origin in _manifests(document):
            try:
                catalogue.add(parse_manifest(manifest, origin=origin), path, origin=origin)
            except InvalidManifest as error:
                catalogue.errors.append(error)


def _add_models_yaml(document: Document, path: Path, catalogue: _Catalogue) -> None:
    old = read_models_yaml(document.value, origin=document.origin)
    catalogue.errors.extend(old.errors)
    catalogue.notes.extend(old.notes)
    catalogue.settings = catalogue.settings or old.settings
    for model in old.models:
        catalogue.add(model, path, origin=document.origin)


def _manifests(document: Document) -> Iterator[tuple[Any, str]]:
    """The manifests of a document that are, or mean to be, HFModels, each with its origin."""
    value, origin = document.value, document.origin
    if value is None:
        return
    if isinstance(value, dict) and value.get("kind") in _LISTS and isinstance(value.get("items"), list):
        for number, item in enumerate(value["items"], start=1):
            yield from _manifests(Document(item, f"{origin} (item {number})"))
    elif _is_ours(value):
        yield value, origin
    else:
        kind = value.get("kind") if isinstance(value, dict) else None
        logger.debug("not an HFModel, passed over: origin=%s kind=%s", origin, kind)


def _is_ours(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind, version = value.get("kind"), str(value.get("apiVersion", ""))
    # A kind that is missing or misspelt must not make a model vanish.
    ours = version.partition("/")[0] == GROUP or str(kind).lower() == KIND.lower()
    return ours or (kind is None and "spec" in value)
