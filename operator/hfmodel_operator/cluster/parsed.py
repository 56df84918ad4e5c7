"""HFModels as the API server has them, read once: a status that was written makes nobody read the spec again. Pure."""

from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import Cache, HFModel, HFModelSpec
from hfmodel_api.status import Demand, HFModelStatus, Reason
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.objects import status_of, uid_of
from hfmodel_operator.observed import PodFailure

_OF_THE_WRITING: Final = ("resourceVersion", "managedFields")


@dataclass(frozen=True, slots=True)
class Parsed:
    """An HFModel; one that breaks the schema is a stand-in, so that its pods serve on, with the `problem`."""

    model: HFModel
    status: HFModelStatus
    problem: PodFailure | None = None


def parsed(thing: Json) -> Parsed:
    """Read all of it."""
    status = _status(thing)
    try:
        return Parsed(parse_manifest(thing), status)
    except InvalidManifest as error:
        message = str(error)
    except ValidationError as error:  # a name that is no id
        message = "; ".join(details["msg"] for details in error.errors())
    return Parsed(_stand_in(thing), status, PodFailure(Reason.INVALID_SPEC, message, permanent=True))


def parsed_again(known: Parsed, old: Json, new: Json) -> Parsed:
    """Read what differs from `old`, which was read as `known`."""
    if new is old:
        return known
    if _but_status(new) != _but_status(old):
        return parsed(new)
    return known if status_of(new) == status_of(old) else replace(known, status=_status(new))


def _but_status(thing: Json) -> Json:
    metadata = {key: value for key, value in thing["metadata"].items() if key not in _OF_THE_WRITING}
    return {**thing, "metadata": metadata, "status": None}


def _stand_in(thing: Json) -> HFModel:
    metadata = thing["metadata"]
    return HFModel.model_construct(
        id=metadata["name"],
        spec=HFModelSpec(model="invalid", cache=Cache(prefetch=False)),
        namespace=metadata.get("namespace") or "",
        uid=uid_of(thing),
        generation=metadata.get("generation") or 1,
        labels={},
        annotations={},
    )


def _status(thing: Json) -> HFModelStatus:
    """What was written last; what another version wrote and this one cannot read is as if nothing was."""
    try:
        return HFModelStatus.model_validate(status_of(thing))
    except ValidationError:
        return HFModelStatus(demand=_demand(status_of(thing).get("demand")))


def _demand(value: object) -> Demand:
    try:
        return Demand.model_validate(value or {})
    except ValidationError:
        return Demand()
