"""Finding models, and showing them as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from hfmodel_api.errors import InvalidRequest, ModelNotFound
from hfmodel_api.spec import ModelType
from hfmodel_router.fleet import ModelState

_NAMED = 10  # ids that a "not found" lists

Catalogue = Mapping[str, ModelState]


def by_id(catalogue: Catalogue, model_id: str) -> ModelState:
    """Raises ModelNotFound, which names a few that there are."""
    try:
        return catalogue[model_id]
    except KeyError:
        raise _not_found(catalogue, model_id) from None


def by_name(catalogue: Catalogue, name: str) -> ModelState:
    """A model by its id, or by its Hugging Face repo where only one model has that.

    Raises:
        ModelNotFound: there is none.
        InvalidRequest: several models have this repo.
    """
    if name in catalogue:
        return catalogue[name]
    found = [state for state in catalogue.values() if state.model.spec.model == name]
    if len(found) > 1:
        ids = ", ".join(state.model.id for state in found)
        raise InvalidRequest(f"model: {name!r} is the repo of several models, use an id: {ids}", param="model")
    if not found:
        raise _not_found(catalogue, name)
    return found[0]


def first_of_type(catalogue: Catalogue, kind: ModelType) -> ModelState:
    """The first model of this type, in the order they were declared; raises ModelNotFound."""
    for state in catalogue.values():
        if state.model.spec.type is kind:
            return state
    raise ModelNotFound(f"there is no model of type {kind}")


def loaded_ids(models: Catalogue) -> list[str]:
    """The models that answer now."""
    return [model_id for model_id, state in models.items() if state.loaded]


def _not_found(catalogue: Catalogue, name: str) -> ModelNotFound:
    ids = list(catalogue)
    if not ids:
        return ModelNotFound(f"there is no model {name!r}; there are none at all yet")
    more = f", … ({len(ids)} in all)" if len(ids) > _NAMED else ""
    return ModelNotFound(f"there is no model {name!r}; there are: {', '.join(ids[:_NAMED])}{more}")


class ModelRow(BaseModel):
    """One model, as lists show it."""

    name: str  # Hugging Face repo id
    type: str
    size: str
    description: str
    max_length: int | None
    suggested_temperature: float
    gated: bool
    loaded: bool
    loading: bool
    device: str  # where it runs; what its spec asks for while it is not loaded
    last_used: datetime | None
    phase: str
    message: str
    replicas: int  # that answer now
    eta_seconds: float | None  # how long a wake takes, as measured; 0 when loaded
    start: dict[str, float]  # seconds of each stage of the last start, where known
    revision: str | None  # the commit that runs, where known
    cache: dict[str, Any] | None  # bytes, total_bytes, bytes_per_second, seconds_left of the download


def row(state: ModelState, *, device: str | None = None) -> ModelRow:
    """`device` as the running pod reports it."""
    spec = state.model.spec
    return ModelRow(
        name=spec.model,
        type=spec.type,
        size=spec.size,
        description=spec.description,
        max_length=spec.max_length,
        suggested_temperature=spec.suggested_temperature,
        gated=spec.gated,
        loaded=state.loaded,
        loading=state.loading,
        device=device or spec.device,
        last_used=state.last_active,
        phase=state.phase,
        message=state.message if state.problem is None else state.problem.message,
        replicas=len(state.endpoints),
        eta_seconds=0.0 if state.loaded else state.start_seconds,
        start={} if state.last_start is None else state.last_start.stages,
        revision=state.resolved_revision,
        cache=None if state.cache is None else state.cache.model_dump(),
    )
