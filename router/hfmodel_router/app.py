"""The router as one ASGI app, and the chain that each request goes through."""

import asyncio
import logging
import time
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from hfmodel_api.errors import EngineFailed, HFModelError, RequestError
from hfmodel_api.request_id import request_id
from hfmodel_router import calls
from hfmodel_router.auth import Keys
from hfmodel_router.core import STOPPING, Core, open_core
from hfmodel_router.cors import Cors
from hfmodel_router.errors import ClientGone, MethodNotAllowed
from hfmodel_router.exchange import SCOPE_KEY, Exchange
from hfmodel_router.fleet import Fleet
from hfmodel_router.front import TURN
from hfmodel_router.limits import read_body, replay
from hfmodel_router.metrics import Metrics
from hfmodel_router.report import CLIENT_GONE, report
from hfmodel_router.settings import RouterSettings

logger = logging.getLogger(__name__)

_SMALL_BODY = 64 * 1024  # bytes; the calls that the router answers itself need no more
_CLOSE = (b"connection", b"close")


class Router:
    """Serves a fleet. Started before the first request and stopped after the last; ASGI's lifespan does both."""

    def __init__(self, *, fleet: Fleet, settings: RouterSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._fleet = fleet
        self._keys = Keys(settings.api_keys)
        self._cors = Cors(settings.cors_origins)
        self._core: Core | None = None
        self._giving_up = False

    async def start(self) -> None:
        """Begin to serve, in the running event loop."""
        self._core = open_core(fleet=self._fleet, settings=self.settings, metrics=self.metrics)
        default = self.settings.default_model
        if default:
            loader = self._core.surface.loader
            loader.start(loader.load(default, timeout=self.settings.hold_timeout), model_id=default)

    async def stop(self) -> None:
        """End what waits and close all connections to pods. Idempotent."""
        core, self._core = self._core, None
        if core is not None:
            await core.close()

    def refused(self, reason: str) -> None:
        """A client was turned away before it had sent a request."""
        self.metrics.refused.labels(reason).inc()

    def drain(self) -> None:
        """Be not ready, and close each connection after its answer, while everything is served as before."""
        self._running.surface.draining = True

    def give_up(self) -> None:
        """Whoever still waits for a model gets an answer that says so; what is cancelled from now on ends quietly."""
        self._giving_up = True
        self._running.holds.close(STOPPING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope) -> None:
        exchange = self._exchange(scope)
        try:
            await self._answer(exchange)
        except ClientGone:
            exchange.aborted = CLIENT_GONE
        except RequestError as error:
            await exchange.fail(error)
        except asyncio.CancelledError:
            if not self._giving_up:
                raise
            await exchange.fail(STOPPING)
        except Exception:
            logger.exception("request failed", extra={"request_id": exchange.request_id, "path": exchange.path})
            await exchange.fail(EngineFailed("the router failed on this request; its log says more"))
        finally:
            report(exchange, self.metrics)

    async def _answer(self, exchange: Exchange) -> None:
        """The chain: CORS preflight, key, then the pods or the calls that the router answers itself."""
        preflight = self._cors.preflight(exchange.method, exchange.headers)
        if preflight is not None:
            exchange.start(HTTPStatus.NO_CONTENT, preflight)
            await exchange.write(b"", more=False)
            return
        self._keys.check(exchange.path, exchange.headers)
        call = calls.match(exchange.path)
        if call is None:
            await self._documented(exchange)
            return
        exchange.route = call.kind.route
        if exchange.method != "POST":
            raise MethodNotAllowed(f"{exchange.path} takes POST, not {exchange.method}", allow="POST")
        await self._running.proxy.handle(exchange, call)

    async def _documented(self, exchange: Exchange) -> None:
        receive = exchange.receive
        if exchange.method not in ("GET", "HEAD"):
            # The framework would read a body of any size.
            timeout = self.settings.body_timeout
            body = await read_body(receive, exchange.headers, max_bytes=_SMALL_BODY, timeout=timeout)
            receive = replay(body, receive)
        try:
            await self._running.documented(exchange.scope, receive, exchange.send)
        finally:
            exchange.route = getattr(exchange.scope.get("route"), "path", exchange.route)

    def _exchange(self, scope: Scope) -> Exchange:
        headers = dict(scope["headers"])
        base_headers = self._cors.headers(headers)
        if self._running.surface.draining:
            base_headers.append(_CLOSE)
        exchange = Exchange(
            scope,
            scope["extensions"][TURN],
            headers=headers,
            request_id=request_id(headers.get(b"x-request-id")),
            base_headers=base_headers,
            clock=time.monotonic,
            stall_timeout=self.settings.stall_timeout,
        )
        scope[SCOPE_KEY] = exchange
        return exchange

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except HFModelError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    @property
    def _running(self) -> Core:
        if self._core is None:
            raise RuntimeError("the router was not started: run it with ASGI's lifespan, or call start()")
        return self._core


def create_app(*, fleet: Fleet, settings: RouterSettings) -> Router:
    """The ASGI app. It does not own the fleet, which the caller starts and ends."""
    return Router(fleet=fleet, settings=settings)
