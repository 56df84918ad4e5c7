"""Why a model directory cannot be served, as a value the operator understands."""

from hfmodel_api.status import Reason
from hfmodel_api.wire import Failure


class LoadFailure(Exception):
    """The model cannot be loaded; `failure` is what the container's termination message carries."""

    def __init__(self, reason: Reason, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(reason=reason, message=message, retryable=retryable)
