"""Names of a node's services: SERVICE.NAMESPACE.svc.cluster.local, looked up in the API when they are asked for.

Nothing is kept, so an answer is never stale. There is nothing beyond: every other name does not exist.
"""

import argparse
import socketserver
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, Protocol, Self

from cluster.api import Answer, Api
from cluster.certs import Certificate

DOMAIN: Final = "cluster.local"
PORT: Final = 53
_HEADER: Final = struct.Struct("!6H")  # id, flags, then how many questions, answers, authorities, additions
_ASKED: Final = struct.Struct("!2H")  # type, class
_RECORD: Final = struct.Struct("!3HIH4s")  # name, type, class, seconds to keep, length, address
_NAME_OF_QUESTION: Final = 0xC00C
_ADDRESS: Final = 1
_INTERNET: Final = 1
_KEEP_SECONDS: Final = 1
_RESPONSE: Final = 0x8580  # of an authority, to whoever may ask it to look further
_SERVER_FAILED: Final = 2
_NO_SUCH_NAME: Final = 3

# The addresses of a name; None if there is no such name.
Lookup = Callable[[str], Sequence[IPv4Address] | None]


@dataclass(frozen=True, slots=True)
class Question:
    """The one question of a query; `wire` is how it was written."""

    number: int
    name: str  # lower case, without the last dot
    kind: int
    wire: bytes

    @classmethod
    def parse(cls, query: bytes) -> Self:
        """Raises ValueError, struct.error or IndexError for what is none."""
        number, _flags, questions, *_rest = _HEADER.unpack_from(query)
        if questions != 1:
            raise ValueError("one question at a time")
        labels, offset = [], _HEADER.size
        while length := query[offset]:
            labels.append(query[offset + 1 : offset + 1 + length].decode("ascii"))
            offset += 1 + length
        kind, _class = _ASKED.unpack_from(query, offset + 1)
        wire = query[_HEADER.size : offset + 1 + _ASKED.size]
        return cls(number, ".".join(labels).lower(), kind, wire)


def reply(query: bytes, lookup: Lookup) -> bytes | None:
    """The answer to a query; None to what is no query.

    `lookup` raises OSError if it cannot tell.
    """
    try:
        question = Question.parse(query)
    except (ValueError, IndexError, struct.error):
        return None
    try:
        found = lookup(question.name)
    except OSError:
        return _response(question, status=_SERVER_FAILED)
    if found is None:
        return _response(question, status=_NO_SUCH_NAME)
    return _response(question, addresses=found if question.kind == _ADDRESS else ())


def _response(question: Question, *, status: int = 0, addresses: Sequence[IPv4Address] = ()) -> bytes:
    header = _HEADER.pack(question.number, _RESPONSE | status, 1, len(addresses), 0, 0)
    records = (
        _RECORD.pack(_NAME_OF_QUESTION, _ADDRESS, _INTERNET, _KEEP_SECONDS, 4, address.packed) for address in addresses
    )
    return header + question.wire + b"".join(records)


class Objects(Protocol):
    """The API, as far as names are concerned."""

    def ask(self, path: str) -> Answer:
        """GET `path`; raises OSError if nobody answers."""


class ServiceNames:
    """The lookup in a cluster: a service's address, or those of its ready pods if it has none of its own."""

    def __init__(self, api: Objects) -> None:
        self._api = api

    def __call__(self, name: str) -> list[IPv4Address] | None:
        match name.split("."):
            case [service, namespace, "svc", *domain] if ".".join(domain) == DOMAIN:
                return self._addresses(f"/api/v1/namespaces/{namespace}", service)
        return None

    def _addresses(self, namespace: str, service: str) -> list[IPv4Address] | None:
        found = self._get(f"{namespace}/services/{service}")
        if found is None:
            return None
        address = found["spec"].get("clusterIP", "None")
        if address != "None":
            return [IPv4Address(address)]
        endpoints = self._get(f"{namespace}/endpoints/{service}") or {}
        subsets = endpoints.get("subsets") or ()
        return [IPv4Address(entry["ip"]) for subset in subsets for entry in subset.get("addresses") or ()]

    def _get(self, path: str) -> dict[str, Any] | None:
        answer = self._api.ask(path)
        if answer.status == 404:
            return None
        if not answer.good:
            raise OSError(answer.text)
        return answer.json()


def serve(address: str, lookup: Lookup) -> None:
    """Answer queries at `address` for ever."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, socket = self.request
            answer = reply(query, lookup)
            if answer is not None:
                socket.sendto(answer, self.client_address)

    with socketserver.ThreadingUDPServer((address, PORT), Handler) as server:
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cluster.dns", description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS")
    parser.add_argument("--url", required=True, help="of the API server")
    for name in ("authority", "certificate", "key"):
        parser.add_argument(f"--{name}", required=True, type=Path, metavar="FILE")
    given = parser.parse_args()
    authority = Certificate(given.authority, given.authority)
    user = Certificate(given.certificate, given.key)
    serve(given.listen, ServiceNames(Api(given.url, authority=authority, user=user)))


if __name__ == "__main__":
    main()
