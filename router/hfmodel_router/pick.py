"""Which pod gets the next request."""

from collections.abc import Collection, Mapping, Sequence

from hfmodel_router.fleet import Endpoint


def least_busy(
    endpoints: Sequence[Endpoint], *, in_flight: Mapping[str, int], turn: int, avoid: Collection[str] = ()
) -> Endpoint | None:
    """The endpoint with the fewest requests in flight; `turn` (any growing number) decides between equals.

    Endpoints named in `avoid` are taken only where there is no other.
    """
    if len(endpoints) <= 1:
        return endpoints[0] if endpoints else None
    candidates = [endpoint for endpoint in endpoints if endpoint.name not in avoid] or endpoints
    start = turn % len(candidates)
    rotated = (*candidates[start:], *candidates[:start])
    return min(rotated, key=lambda endpoint: in_flight.get(endpoint.name, 0))
