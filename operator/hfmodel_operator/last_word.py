"""Why a fetch or a runtime failed, in its own words: its last line as a failure to decide on. Pure."""

from pydantic import ValidationError

from hfmodel_api.wire import Failure
from hfmodel_operator.observed import PodFailure


def pod_failure(said: Failure) -> PodFailure:
    return PodFailure(said.reason, said.message, permanent=not said.retryable)


def parse_failure(message: str) -> PodFailure | None:
    """The `wire.Failure` in the last line of a termination message; None if that is not what it says."""
    lines = message.strip().splitlines()
    try:
        return pod_failure(Failure.model_validate_json(lines[-1])) if lines else None
    except ValidationError:
        return None
