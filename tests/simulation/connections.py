"""A client's connection to a router: real HTTP, byte for byte, through the router's own server protocol; no socket."""

import asyncio
import json
from typing import Any

import httptools
import uvicorn
from uvicorn.server import ServerState

from hfmodel_router.app import Router
from hfmodel_router.front import Front


class Wire(asyncio.Transport):
    """What a client has of its answer, and the way there. `over` is set when nothing more will come."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.body = b""
        self.complete = False
        self.over = asyncio.Event()
        self._parser = httptools.HttpResponseParser(self)
        self._protocol: Front | None = None

    # The client's side.

    def post(self, path: str, document: Any) -> None:
        body = json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: router\r\ncontent-type: application/json\r\n"
        assert self._protocol is not None
        self._protocol.data_received(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def hang_up(self) -> None:
        """From either side, or because the process at the other end is no more."""
        self.over.set()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(None)

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True
        self.over.set()

    # The server's side.

    def serve(self, protocol: Front) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        if self._protocol is not None:
            self._parser.feed_data(data)

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.hang_up)

    def abort(self) -> None:
        self.hang_up()

    def is_closing(self) -> bool:
        return self._protocol is None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("10.1.0.1", 4711), "sockname": ("10.1.0.2", 80)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Port:
    """Where one router takes connections."""

    def __init__(self, app: Router) -> None:
        self._config = uvicorn.Config(app, http=Front, ws="none", lifespan="off", log_config=None, access_log=False)
        self._config.load()
        self._state = ServerState()
        self._wires: set[Wire] = set()

    @property
    def requests(self) -> set[asyncio.Task[None]]:
        """Those that run."""
        return self._state.tasks

    def connect(self) -> Wire:
        wire = Wire()
        self._wires.add(wire)
        wire.serve(Front(self._config, self._state, {}, asyncio.get_running_loop()))
        return wire

    def break_all(self) -> None:
        """The process is no more: every connection breaks, and whatever ran has ended."""
        for task in tuple(self._state.tasks):
            task.cancel()
        for wire in self._wires:
            wire.hang_up()
