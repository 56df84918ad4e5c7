"""A block of addresses for one node: free on this machine, and nobody else's while the node lives."""

import errno
import json
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from cluster.commands import tool
from cluster.errors import ClusterError

PREFIX: Final = "hfm"
# Private use, then what RFC 2544 sets apart for benchmarks.
BLOCKS: Final = (*IPv4Network("10.64.0.0/10").subnets(new_prefix=16), *IPv4Network("198.18.0.0/15").subnets())
# A VPN replaces the default route by halves of the world.
_SHORTEST_PREFIX: Final = 8


@dataclass(frozen=True, slots=True)
class Ranges:
    """One block, and its parts: the link between host and node, the pods, the services."""

    block: IPv4Network  # a /16

    @property
    def name(self) -> str:
        """Unique on this machine while the block is claimed; short enough for a network link."""
        return "{}-{}-{}".format(PREFIX, *self.block.network_address.packed[:2])

    @property
    def link(self) -> IPv4Network:
        return IPv4Network(f"{self.block.network_address}/30")

    @property
    def host(self) -> IPv4Address:
        """This machine, as the node and its pods see it."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        return self.link[2]

    @property
    def services(self) -> IPv4Network:
        return list(self.block.subnets(new_prefix=18))[1]

    @property
    def pods(self) -> IPv4Network:
        return list(self.block.subnets(new_prefix=17))[1]


@contextmanager
def claimed_ranges() -> Iterator[Ranges]:
    """A block that no address or route of this machine touches, claimed for the length of the block.

    The claim is a socket in the abstract namespace: it is as wide as the routing table, and the kernel gives it up
    however this process ends.

    Raises:
        ClusterError: there is none.
    """
    for ranges in free(_networks_in_use()):
        with claimed(ranges.name) as ours:
            if ours:
                yield ranges
                return
    raise ClusterError(f"every network from {BLOCKS[0]} to {BLOCKS[-1]} is in use here: `ip route` shows by what")


@contextmanager
def claimed(name: str) -> Iterator[bool]:
    """Whether the name is nobody else's for the length of the block."""
    with socket.socket(socket.AF_UNIX) as claim:
        yield _bound(claim, name)


def free(used: Iterable[IPv4Network], blocks: Iterable[IPv4Network] = BLOCKS) -> Iterator[Ranges]:
    """The blocks that overlap nothing that is used."""
    used = list(used)
    return (Ranges(block) for block in blocks if not any(block.overlaps(network) for network in used))


def parse_routes(text: str) -> list[IPv4Network]:
    """The destinations in what `ip -json route` prints, but those that stand for the rest of the world."""
    destinations = (route["dst"] for route in json.loads(text or "[]"))
    networks = [IPv4Network(name) for name in destinations if name != "default"]
    return [network for network in networks if network.prefixlen >= _SHORTEST_PREFIX]


def _networks_in_use() -> list[IPv4Network]:
    # All tables: addresses are routes of the table "local".
    command = [tool("ip", package="iproute2"), "-json", "-4", "route", "show", "table", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"ip cannot show the routes: {done.stderr.strip()}")
    return parse_routes(done.stdout)


def _bound(claim: socket.socket, name: str) -> bool:
    try:
        claim.bind(f"\0hfmodel-test-node/{name}")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
