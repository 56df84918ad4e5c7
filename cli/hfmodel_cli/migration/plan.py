"""What an import writes and tells, decided before anything is written."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hfmodel_api.models_yaml import ModelsYaml
from hfmodel_api.spec import HFModel, ModelType, Source
from hfmodel_cli.errors import Refused
from hfmodel_cli.migration.comments import Remarks, read_comments
from hfmodel_cli.migration.documents import KUSTOMIZATION, file_name, kustomization_text, manifest_text, values_text
from hfmodel_cli.migration.environment import ReadEnvironment
from hfmodel_cli.migration.targets import OldServer, helm_values, secret_commands, target_notes

_MANIFESTS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`values` is the file for Helm values, if they are wanted."""

    source: Path
    output: Path
    values: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    files: Mapping[Path, str]
    ids: Mapping[str, str]  # old to new
    old: OldServer
    notes: Sequence[str]


def plan_import(read: ModelsYaml, environment: ReadEnvironment, places: Places) -> Plan:
    """`read` has no errors.

    Raises:
        Refused: there is no model, or the places get into each other's way.
    """
    if not read.models:
        raise Refused(f"{places.source}: there is no model in it")
    ids = {read.old_ids[model.id]: model.id for model in read.models}
    old = OldServer(settings=read.settings, environment=environment.values, model_ids=list(ids.values()))
    files = _manifests(read, places)
    if places.values is not None:
        if places.values in files:
            raise Refused(f"{places.values} is to hold a manifest: choose another place for --values")
        files[places.values] = values_text(helm_values(old), secrets=secret_commands(old))
    notes = [*read.notes, *environment.notes, *target_notes(old), *_only_local(read.models)]
    notes += [*_first_of_type(read.models), *_left(files, places)]
    return Plan(files=files, ids=ids, old=old, notes=notes)


def _manifests(read: ModelsYaml, places: Places) -> dict[Path, str]:
    comments = read_comments(places.source.read_text(encoding="utf-8-sig"))
    files = {}
    for model in read.models:
        remarks = comments.models.get(read.old_ids[model.id], Remarks())
        moved = _moved(model, places)
        files[places.output / file_name(model.id)] = manifest_text(moved, remarks)
    names = [path.name for path in files]
    return {**files, places.output / KUSTOMIZATION: kustomization_text(names, comments.head)}


def _moved(model: HFModel, places: Places) -> HFModel:
    """`model` with a relative path of weights as it is seen from its manifest."""
    path = model.spec.source.path
    if path is None or path.startswith(("/", "~")):
        return model
    seen = os.path.relpath((places.source.parent / path).resolve(), places.output.resolve())
    return model.model_copy(update={"spec": model.spec.model_copy(update={"source": Source(path=seen)})})


def _only_local(models: Sequence[HFModel]) -> Iterator[str]:
    ids = [model.id for model in models if model.spec.source.path is not None]
    if ids:
        instead = "in a cluster, put the folder on a volume and name it in spec.source.pvc"
        yield f"a folder of this machine, which only `hfmodel up` can reach; {instead}: {', '.join(ids)}"


def _first_of_type(models: Sequence[HFModel]) -> Iterator[str]:
    """Calls without an id go to the first model of a type: in a models.yaml as it was written, else by name."""
    for call, kind in (("/generate", ModelType.TEXT), ("/chat", ModelType.CONVERSATIONAL)):
        ids = [model.id for model in models if model.spec.type is kind]
        if ids and min(ids) != ids[0]:
            yield f"POST {call} without an id went to {ids[0]}; manifests have no order, so it goes to {min(ids)}"


def _left(files: Mapping[Path, str], places: Places) -> Iterator[str]:
    if not places.output.is_dir():
        return
    others = [path for path in places.output.iterdir() if path.suffix in _MANIFESTS and path not in files]
    if any(path.resolve() == places.source.resolve() for path in others):
        raise Refused(
            f"{places.source} lies in {places.output}, which would serve its models twice: choose another DIR"
        )
    for path in sorted(others):
        yield f"{path} was there before and is left alone; `hfmodel up {places.output}` reads it as well"
