"""The wire between this machine and a node, and what runs over it. No packet leaves the machine: there is no default
route inside and nothing outside translates the node's addresses.
"""

import subprocess
from ipaddress import IPv4Network
from typing import Any, Final

from cluster.commands import tool
from cluster.errors import ClusterError
from cluster.namespaces import Inside
from cluster.ranges import Ranges

NODE_LINK: Final = "node0"


def connect(inside: Inside, ranges: Ranges) -> None:
    """Join this machine to the namespaces by a pair of links; it vanishes with them.

    This machine reaches the node, its pods and its services, and they reach this machine, by their addresses.

    Raises:
        ClusterError: the machine does not allow it.
    """
    length = ranges.link.prefixlen
    _ip(f"link add {ranges.name} type veth peer name {NODE_LINK} netns {inside.init}")
    inside.run(
        *("ip", "-batch", "-"),
        given=f"address add {ranges.node}/{length} dev {NODE_LINK}\n"
        f"link set {NODE_LINK} up\n"
        # kube-proxy rewrites the destination after a route was looked up: there must be one.
        f"route add {ranges.services} dev {NODE_LINK} src {ranges.node}\n",
    )
    _ip(
        f"address add {ranges.host}/{length} dev {ranges.name}",
        f"link set {ranges.name} up",
        f"route add {ranges.pods} via {ranges.node}",
        f"route add {ranges.services} via {ranges.node}",
    )


def pod_network(pods: IPv4Network) -> dict[str, Any]:
    """The CNI configuration: every pod on a link of its own, so that also traffic from pod to pod passes kube-proxy's
    rules on its way there and back.
    """
    addresses = {"type": "host-local", "ranges": [[{"subnet": str(pods)}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def _ip(*lines: str) -> None:
    command = [tool("ip", package="iproute2"), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"the node's network cannot be made: {done.stderr.strip()}")
