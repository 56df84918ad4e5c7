"""What the node's name server answers, and that nothing it is sent ends it."""

import json
import struct
from collections.abc import Mapping
from ipaddress import IPv4Address

import pytest

from cluster.api import Answer
from cluster.dns import Lookup, ServiceNames, reply

A, AAAA = 1, 28
WEB = IPv4Address("10.64.64.7")
PODS = [IPv4Address("10.64.128.2"), IPv4Address("10.64.128.3")]
OBJECTS: Mapping[str, str] = {
    "/api/v1/namespaces/ns/services/web": '{"spec": {"clusterIP": "10.64.64.7"}}',
    "/api/v1/namespaces/ns/services/pods": '{"spec": {"clusterIP": "None"}}',
    "/api/v1/namespaces/ns/endpoints/pods": json.dumps(
        {"subsets": [{"addresses": [{"ip": str(pod)} for pod in PODS]}]}
    ),
    "/api/v1/namespaces/ns/services/alias": '{"spec": {"type": "ExternalName", "externalName": "a.example"}}',
}


class ScriptedApi:
    """Has the objects; no other."""

    def ask(self, path: str) -> Answer:
        return Answer(200, OBJECTS[path]) if path in OBJECTS else Answer(404, "")


class DeafApi:
    def ask(self, path: str) -> Answer:
        return Answer(503, "starting")


def query(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def parsed(answer: bytes | None, asked: bytes) -> tuple[int, list[IPv4Address]]:
    """Its status, and the addresses in it."""
    assert answer is not None
    number, flags, questions, count, _, _ = struct.unpack_from("!6H", answer)
    assert (number, questions) == (7, 1)
    assert answer[12 : len(asked)] == asked[12:]
    records = [answer[start : start + 16] for start in range(len(asked), len(answer), 16)]
    assert len(records) == count
    return flags & 0xF, [IPv4Address(record[-4:]) for record in records]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("web.ns.svc.cluster.local", (0, [WEB]), id="a service"),
        pytest.param("WEB.ns.svc.cluster.LOCAL", (0, [WEB]), id="in capitals"),
        pytest.param("pods.ns.svc.cluster.local", (0, PODS), id="a headless service"),
        pytest.param("alias.ns.svc.cluster.local", (0, []), id="an external name"),
        pytest.param("none.ns.svc.cluster.local", (3, []), id="no such service"),
        pytest.param("web.ns.pod.cluster.local", (3, []), id="not a service"),
        pytest.param("huggingface.co", (3, []), id="the world"),
    ],
)
def test_services_have_names_and_nothing_else_does(name: str, expected: tuple[int, list[IPv4Address]]) -> None:
    asked = query(name)
    assert parsed(reply(asked, ServiceNames(ScriptedApi())), asked) == expected


def test_a_service_exists_without_an_address_of_another_kind() -> None:
    asked = query("web.ns.svc.cluster.local", AAAA)
    assert parsed(reply(asked, ServiceNames(ScriptedApi())), asked) == (0, [])


def test_an_api_that_cannot_tell_is_not_a_name_that_is_not_there() -> None:
    asked = query("web.ns.svc.cluster.local")
    assert parsed(reply(asked, ServiceNames(DeafApi())), asked) == (2, [])


@pytest.mark.parametrize(
    "noise",
    [b"", b"\0" * 12, query("web")[:-1], query("web")[:14], b"\xff" * 40, query("web").replace(b"web", b"\xc3\xa9b")],
    ids=["nothing", "no question", "cut in the type", "cut in the name", "ones", "not ASCII"],
)
def test_noise_is_not_answered(noise: bytes) -> None:
    def never(name: str) -> None:
        pytest.fail(f"asked for {name}")

    lookup: Lookup = never
    assert reply(noise, lookup) is None
