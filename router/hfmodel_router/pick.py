"""Which pod gets the next request."""

from collections.abc import Mapping, Sequence

from hfmodel_router.fleet import Endpoint


def least_busy(endpoints: Sequence[Endpoint], *, in_flight: Mapping[str, int], turn: int) -> Endpoint | None:
    """The endpoint with the fewest requests in flight; `turn` (any growing number) decides between equals."""
    if len(endpoints) <= 1:
        return endpoints[0] if endpoints else None
    start = turn % len(endpoints)
    rotated = (*endpoints[start:], *endpoints[:start])
    return min(rotated, key=lambda endpoint: in_flight.get(endpoint.name, 0))
