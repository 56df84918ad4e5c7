"""Small values for tests of local mode."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hfmodel_api.parse import parse_manifest
from hfmodel_api.spec import HFModel

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def document(model_id: str = "m", **spec: Any) -> dict[str, Any]:
    """A manifest. Its source is a path: nothing of it needs a network."""
    return {
        "apiVersion": "hfmodel.dev/v1alpha1",
        "kind": "HFModel",
        "metadata": {"name": model_id},
        "spec": {"model": f"local/{model_id}", "source": {"path": "/weights"}} | spec,
    }


def hfmodel(model_id: str = "m", **spec: Any) -> HFModel:
    return parse_manifest(document(model_id, **spec))
