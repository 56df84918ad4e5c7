"""From a request for a model to its answer: find the model, hold until it answers, try pods until one delivers."""

import asyncio
import logging
import random
from collections.abc import Callable
from http import HTTPStatus

from hfmodel_api.errors import EngineFailed, HoldTimeout
from hfmodel_api.requests import parse_request
from hfmodel_router import catalogue, relay, sse
from hfmodel_router.calls import Call
from hfmodel_router.deliver import deliver
from hfmodel_router.disconnect import UntilDisconnect
from hfmodel_router.errors import AttemptFailed, Died
from hfmodel_router.exchange import Exchange
from hfmodel_router.fleet import Endpoint, Fleet, ModelState
from hfmodel_router.hold import HoldRoom, eta
from hfmodel_router.limits import BodyRoom, read_body, too_large
from hfmodel_router.metrics import Metrics, labelled
from hfmodel_router.pool import Lease, Pool
from hfmodel_router.settings import RouterSettings
from hfmodel_router.trip import Trip, asked_hold_timeout, begin_trip
from hfmodel_router.upstream_pool import UpstreamPool

logger = logging.getLogger(__name__)

# Seconds between tries of a held request at pods whose queues are full.
_MIN_BUSY_PAUSE, _MAX_BUSY_PAUSE = 0.05, 1.0


class Proxy:
    """Carries requests to pods."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        holds: HoldRoom,
        pool: Pool,
        upstream: UpstreamPool,
        settings: RouterSettings,
        metrics: Metrics,
    ) -> None:
        self._fleet = fleet
        self._holds = holds
        self._pool = pool
        self._upstream = upstream
        self._settings = settings
        self._metrics = metrics
        self._bodies = BodyRoom(settings.max_body_bytes_total)

    async def handle(self, exchange: Exchange, call: Call) -> None:
        """Answer `exchange`.

        Raises:
            RequestError: no pod answered, and this is why.
            ClientGone: nobody listens any more.
        """
        hold_timeout = asked_hold_timeout(exchange, limit=self._settings.hold_timeout)
        with self._bodies.place() as grown:
            body = await self._body(exchange, grown)
            trip = begin_trip(exchange, call, body, models=self._fleet.catalogue(), hold_timeout=hold_timeout)
            async with UntilDisconnect(exchange.turn):
                await self._carry(exchange, trip)

    async def _body(self, exchange: Exchange, grown: Callable[[int], None]) -> bytes:
        limit, timeout = self._settings.max_body_bytes, self._settings.body_timeout
        body = exchange.turn.whole_body()
        if body is not None:
            if len(body) > limit:
                raise too_large(limit)
            grown(len(body))
            return body
        return await read_body(exchange.receive, exchange.headers, max_bytes=limit, timeout=timeout, grown=grown)

    async def _carry(self, exchange: Exchange, trip: Trip) -> None:
        while True:
            with self._take_now(trip) or await self._hold(exchange, trip) as lease:
                exchange.pod = lease.endpoint.name
                with labelled(self._metrics.in_flight, trip.model_id).track_inprogress():
                    if await self._attempt(exchange, trip, lease.endpoint):
                        return
            exchange.retries += 1

    async def _attempt(self, exchange: Exchange, trip: Trip, endpoint: Endpoint) -> bool:
        """Whether this pod's answer was delivered; if not, nothing of it was, and the request can be sent again."""
        path = trip.kind.upstream_path
        try:
            answer = await relay.send(self._upstream, endpoint, path, body=trip.body, headers=trip.headers)
        except AttemptFailed as failure:
            self._failed(exchange, trip, endpoint, failure)
            return False
        async with answer:
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS and exchange.held is not None:
                self._busy(trip, answer.retry_after)
                return False
            await deliver(exchange, answer)
            return True

    def _failed(self, exchange: Exchange, trip: Trip, endpoint: Endpoint, failure: AttemptFailed) -> None:
        self._metrics.retries.labels(failure.reason).inc()
        details = {"model": trip.model_id, "pod": endpoint.name, "reason": failure.reason, "error": str(failure)}
        logger.info("attempt failed", extra={"request_id": exchange.request_id, **details})
        self._pool.set_aside(trip.model_id, endpoint)
        if not isinstance(failure, Died):
            return
        trip.deaths += 1
        if trip.deaths >= self._settings.retry_limit:
            raise EngineFailed(f"{trip.model_id} broke off {trip.deaths} times before it answered this request")

    def _busy(self, trip: Trip, retry_after: float | None) -> None:
        """All who were held arrive at once, more than a pod queues: they wait here, and keep their place."""
        self._metrics.retries.labels("busy").inc()
        asked = _MAX_BUSY_PAUSE if retry_after is None else max(retry_after, _MIN_BUSY_PAUSE)
        self._holds.busy(trip.model_id, asked)
        pause = min(asked, _MAX_BUSY_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
        trip.not_before = asyncio.get_running_loop().time() + pause

    def _take_now(self, trip: Trip) -> Lease | None:
        return self._take(trip, catalogue.by_id(self._fleet.catalogue(), trip.model_id))

    def _take(self, trip: Trip, state: ModelState) -> Lease | None:
        if trip.not_before > asyncio.get_running_loop().time():
            return None
        return self._pool.take(state)

    async def _hold(self, exchange: Exchange, trip: Trip) -> Lease:
        """Wait until a pod takes the request; a client that streams is kept company meanwhile."""
        again = exchange.held is not None
        # What a pod worked on it, before it failed, is no waiting.
        trip.deadline = asyncio.get_running_loop().time() + trip.hold_timeout - (exchange.held or 0.0)
        if not again and parse_request(trip.kind.body, trip.body).stream:  # a bad request must not wake a model
            trip.next_heartbeat = asyncio.get_running_loop().time() + self._settings.heartbeat_interval
        with self._holds.enter(trip.model_id, again=again) as hold, exchange.holding():
            while True:
                lease = await hold.wait(lambda state: self._take(trip, state), until=self._next_stop(trip))
                if lease is not None:
                    return lease
                await self._keep_company(exchange, trip)

    def _next_stop(self, trip: Trip) -> float:
        stop = min(trip.deadline, trip.next_heartbeat)
        pause_is_ahead = trip.not_before > asyncio.get_running_loop().time()
        return min(stop, trip.not_before) if pause_is_ahead else stop

    async def _keep_company(self, exchange: Exchange, trip: Trip) -> None:
        """Raises HoldTimeout at the deadline."""
        now = asyncio.get_running_loop().time()
        state = self._holds.state(trip.model_id)
        if now >= trip.deadline:
            raise _timed_out(trip, state)
        if now >= trip.next_heartbeat:
            trip.next_heartbeat = now + self._settings.heartbeat_interval
            if exchange.status == 0:
                exchange.start_events()
            await exchange.write(sse.comment(_waiting(state)), more=True)


def _timed_out(trip: Trip, state: ModelState) -> HoldTimeout:
    message = f"{trip.model_id} was not ready within {trip.hold_timeout:g} seconds; it is {_standing(state)}"
    return HoldTimeout(message, retry_after=eta(state))


def _waiting(state: ModelState) -> str:
    usual = "" if state.start_seconds is None else f"; a start takes about {state.start_seconds:.1f} s"
    return f"waiting for {state.model.id}: {_standing(state)}{usual}"


def _standing(state: ModelState) -> str:
    return f"{state.phase} ({state.message})" if state.message else state.phase
