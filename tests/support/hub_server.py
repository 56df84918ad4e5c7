"""A Hugging Face Hub on this machine: real HTTP, as huggingface_hub speaks it, with faults to order.

    with HubServer({"org/tiny": HubRepo(files={"config.json": b"{}"})}) as hub:
        hub.fail("model.safetensors", Cut(after=1000))
        ...  # endpoint=hub.url

Large files (`HubRepo.large`) are served as the Hub does it: a redirect to another origin, which must see no token.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit

_WAIT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class HubRepo:
    """One version of a repository. `tokens` are those that may read it when it is gated or private."""

    files: Mapping[str, bytes]
    gated: bool = False
    private: bool = False
    tokens: frozenset[str] = frozenset()
    branches: tuple[str, ...] = ("main",)
    large_suffixes: tuple[str, ...] = (".safetensors", ".bin", ".gguf", ".h5", ".msgpack", ".onnx")
    # What the API claims, where that is not the truth.
    listed_sizes: Mapping[str, int] = field(default_factory=dict)
    names_only: bool = False  # as simple mirrors list files: neither sizes nor hashes
    missing: frozenset[str] = frozenset()  # listed, but not there

    @property
    def commit(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def large(self, name: str) -> bool:
        return name.endswith(self.large_suffixes)

    def size(self, name: str) -> int:
        return self.listed_sizes.get(name, len(self.files[name]))

    def etag(self, name: str) -> str:
        """sha256 of a large file, git's hash of a small one."""
        content = self.files[name]
        if self.large(name):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Status:
    """Answer with this status instead."""

    code: int
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Close the connection after this many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Garble:
    """Send the right number of wrong bytes."""


@dataclass(frozen=True)
class Body:
    """Answer 200 with this text, as a captive portal does."""

    text: str


@dataclass(frozen=True)
class Hold:
    """Send this many bytes of the body, then wait to be released; `reached` tells that it waits.

    `damaged`: what comes then is the right number of wrong bytes.
    """

    after: int
    damaged: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


Fault = Status | Cut | Garble | Body | Hold


@dataclass(frozen=True)
class Seen:
    """One request that came in."""

    method: str
    path: str  # decoded, without the query
    range: str | None
    token: str | None
    cdn: bool  # asked of the second origin
    at: float = 0.0  # by time.monotonic


class HubServer:
    """Serves `repos` at the address `host` until the `with` block ends.

    `tokens` are the valid ones besides those of the repositories.
    """

    def __init__(
        self, repos: Mapping[str, HubRepo], *, tokens: frozenset[str] = frozenset(), host: str = "127.0.0.1"
    ) -> None:
        self._commits: dict[str, dict[str, HubRepo]] = {}
        self._branches: dict[str, dict[str, str]] = {}
        self._tokens = set(tokens)
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self.requests: list[Seen] = []
        for name, repo in repos.items():
            self.push(name, repo)
        self._servers = [_Server(self, host=host, cdn=False), _Server(self, host=host, cdn=True)]

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for _name, fault in self._faults:
                if isinstance(fault, Hold):
                    fault.released.set()
        for server in self._servers:
            server.stop()

    @property
    def url(self) -> str:
        return self._servers[0].url

    @property
    def cdn_url(self) -> str:
        return self._servers[1].url

    def push(self, name: str, repo: HubRepo) -> str:
        """A new commit; its branches point to it from now on. Earlier commits stay. Returns the commit's hash."""
        with self._lock:
            self._commits.setdefault(name, {})[repo.commit] = repo
            for branch in repo.branches:
                self._branches.setdefault(name, {})[branch] = repo.commit
            self._tokens |= repo.tokens
        return repo.commit

    def fail(self, path_end: str, *faults: Fault) -> None:
        """The next GETs of paths that end so get these faults, one each, in this order."""
        with self._lock:
            self._faults += [(path_end, fault) for fault in faults]

    def gets(self, path_end: str) -> list[Seen]:
        """Requests for the contents of a file (redirects count once), oldest first."""
        with self._lock:
            return [
                seen
                for seen in self.requests
                if seen.method == "GET" and "/resolve/" in seen.path and not seen.cdn and seen.path.endswith(path_end)
            ]

    def _take_fault(self, path: str) -> Fault | None:
        with self._lock:
            for index, (end, fault) in enumerate(self._faults):
                if path.endswith(end):
                    if not isinstance(fault, Hold):
                        del self._faults[index]
                    elif fault.reached.is_set():
                        continue
                    return fault
        return None

    def _record(self, seen: Seen) -> None:
        with self._lock:
            self.requests.append(seen)

    def _find(self, name: str, revision: str) -> HubRepo:
        with self._lock:
            if name not in self._commits:
                raise _Refused(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
            commit = self._branches[name].get(revision, revision)
            if commit not in self._commits[name]:
                raise _Refused(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
            return self._commits[name][commit]


@contextmanager
def silent_endpoint(*, accepts: bool) -> Iterator[str]:
    """The address of a machine that never answers; without `accepts` its connections do not even come about."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16 if accepts else 0)
        host, port = listener.getsockname()
        # Fills the backlog: the kernel drops the packets of all others.
        for _ in range(0 if accepts else 4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex((host, port))
        yield f"http://{host}:{port}"


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer, *, host: str, cdn: bool) -> None:
        super().__init__((host, 0), _Handler)
        self.hub = hub
        self.cdn = cdn
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def stop(self) -> None:
        """Be gone, also for those who kept a connection."""
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _hub(self) -> HubServer:
        return cast("_Server", self.server).hub

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def log_message(self, *_: object) -> None:
        """Tests read `HubServer.requests`."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        cdn = cast("_Server", self.server).cdn
        token = self.headers.get("authorization", "").removeprefix("Bearer ") or None
        self._hub._record(Seen(self.command, path, self.headers.get("range"), token, cdn, time.monotonic()))
        try:
            if path.startswith("/api/models/"):
                self._api(path.removeprefix("/api/models/"), token)
            else:
                self._resolve(path, token, cdn=cdn)
        except _Refused as refused:
            self._refuse(refused)

    def _api(self, path: str, token: str | None) -> None:
        fault = self._hub._take_fault(f"/api/models/{path}")
        if isinstance(fault, Status):
            raise _Refused(HTTPStatus(fault.code), "", fault.message, fault.headers)
        if isinstance(fault, Body):
            self._send(fault.text.encode(), {"content-type": "text/html"})
            return
        for kind in ("revision", "tree"):
            name, found, revision = path.partition(f"/{kind}/")
            if found:
                break
        else:
            kind, name, revision = "revision", path, "main"
        repo = self._authorised(name, revision, token, contents=False)
        body = self._tree(repo) if kind == "tree" else self._info(name, repo)
        self._send(json.dumps(body).encode(), {"content-type": "application/json"})

    def _info(self, name: str, repo: HubRepo) -> dict[str, Any]:
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = []
        for file in sorted(repo.files):
            entry: dict[str, Any] = {"rfilename": file}
            if blobs and not repo.names_only:
                entry |= {"size": repo.size(file), "blobId": repo.etag(file)[:40]}
                if repo.large(file):
                    entry["lfs"] = {"size": repo.size(file), "sha256": repo.etag(file), "pointerSize": 134}
            siblings.append(entry)
        gated = "manual" if repo.gated else False
        return {"id": name, "sha": repo.commit, "private": repo.private, "gated": gated, "siblings": siblings}

    def _tree(self, repo: HubRepo) -> list[dict[str, Any]]:
        entries = []
        for file in sorted(repo.files):
            entry: dict[str, Any] = {"type": "file", "path": file, "size": repo.size(file), "oid": repo.etag(file)[:40]}
            if repo.large(file):
                entry["lfs"] = {"oid": repo.etag(file), "size": repo.size(file), "pointerSize": 134}
            entries.append(entry)
        return entries

    def _resolve(self, path: str, token: str | None, *, cdn: bool) -> None:
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if cdn:
            repo = self._hub._find(name, revision)
            if token is not None:
                raise _Refused(HTTPStatus.BAD_REQUEST, "", "a token reached the storage")
        else:
            repo = self._authorised(name, revision, token, contents=True)
        if file not in repo.files or file in repo.missing:
            raise _Refused(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
        headers = {"x-repo-commit": repo.commit, "etag": f'"{repo.etag(file)}"', "accept-ranges": "bytes"}
        if repo.large(file) and not cdn:
            headers |= {"x-linked-etag": f'"{repo.etag(file)}"', "x-linked-size": str(len(repo.files[file]))}
            headers["location"] = f"{self._hub.cdn_url}{self.path}"
            self._send(b"", headers, status=HTTPStatus.FOUND)
            return
        self._content(path, repo.files[file], headers)

    def _content(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        fault = self._hub._take_fault(path) if self.command == "GET" else None
        if isinstance(fault, Status):
            raise _Refused(HTTPStatus(fault.code), "", fault.message, fault.headers)
        if isinstance(fault, Garble):
            content = bytes(byte ^ 0xFF for byte in content)
        start, status = 0, HTTPStatus.OK
        if requested := self.headers.get("range"):
            start = int(requested.removeprefix("bytes=").partition("-")[0])
            status = HTTPStatus.PARTIAL_CONTENT
            if start >= len(content):
                raise _Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "", "Range not satisfiable")
            headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(content[start:], headers, status=status, fault=fault)

    def _authorised(self, name: str, revision: str, token: str | None, *, contents: bool) -> HubRepo:
        if token is not None and token not in self._hub._tokens:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "", "Invalid credentials in Authorization header")
        try:
            repo = self._hub._find(name, revision)
        except _Refused as refused:
            if refused.code == "RepoNotFound" and token is None:
                raise _Refused(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Invalid username or password.") from refused
            raise
        allowed = token is not None and token in repo.tokens
        if repo.private and not allowed:
            status = HTTPStatus.NOT_FOUND if token else HTTPStatus.UNAUTHORIZED
            raise _Refused(status, "RepoNotFound", "Repository not found")
        if repo.gated and contents and not allowed:
            status = HTTPStatus.FORBIDDEN if token else HTTPStatus.UNAUTHORIZED
            raise _Refused(status, "GatedRepo", f"Access to model {name} is restricted.")
        return repo

    def _refuse(self, refused: _Refused) -> None:
        headers = {"content-type": "application/json", **refused.headers}
        if refused.code:
            headers["x-error-code"] = refused.code
        if refused.message:
            headers["x-error-message"] = refused.message
        self._send(json.dumps({"error": refused.message}).encode(), headers, status=refused.status)

    def _hold(self, body: bytes, hold: Hold) -> None:
        self.wfile.write(body[: hold.after])
        self.wfile.flush()
        hold.reached.set()
        hold.released.wait(_WAIT_SECONDS)
        rest = body[hold.after :]
        self.wfile.write(bytes(byte ^ 0xFF for byte in rest) if hold.damaged else rest)

    def _send(
        self, body: bytes, headers: dict[str, str], *, status: HTTPStatus = HTTPStatus.OK, fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        match fault:
            case Cut(after):
                self.wfile.write(body[:after])
                self.close_connection = True
            case Hold():
                self._hold(body, fault)
            case _:
                self.wfile.write(body)
