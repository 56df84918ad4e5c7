"""What is still missing until a cluster can be used, and waiting for it."""

import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from typing import Final

from cluster.api import Api
from cluster.errors import ClusterError
from cluster.processes import Server

_POLL_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 1.0
_API_SERVICE_PORT: Final = 443
_ANY_POD: Final = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "any"},
    "spec": {"containers": [{"name": "any", "image": "any"}]},
}


def missing_from_api(api: Api) -> str | None:
    """What an API server lacks, for a person; None when it is ready."""
    try:
        answer = api.ask("/readyz?verbose")
    except OSError as error:
        return str(error)
    if answer.good:
        return None
    checks = [line for line in answer.text.splitlines() if line.startswith("[-]")]
    return "; ".join(checks) or f"HTTP {answer.status}"


def missing_from_node(api: Api, *, node: str, services: IPv4Network) -> str | None:
    """What keeps pods from running on `node` and from being reached, for a person; None when nothing does."""
    try:
        return _missing_condition(api, node) or _missing_admission(api) or _missing_service(str(services[1]))
    except OSError as error:
        return str(error)


def _missing_condition(api: Api, node: str) -> str | None:
    answer = api.ask(f"/api/v1/nodes/{node}")
    if not answer.good:
        return f"the node {node} has not come to the API"
    conditions = answer.json()["status"].get("conditions") or ()
    ready = next((item for item in conditions if item["type"] == "Ready"), {"status": "Unknown"})
    return None if ready["status"] == "True" else str(ready.get("message", "it tells nothing of itself"))


def _missing_admission(api: Api) -> str | None:
    """The default service account, and what its tokens need, come some time after the API."""
    answer = api.ask("/api/v1/namespaces/default/pods?dryRun=All", _ANY_POD)
    return None if answer.good else str(answer.json().get("message", answer.text))


def _missing_service(address: str) -> str | None:
    try:
        socket.create_connection((address, _API_SERVICE_PORT), _CONNECT_SECONDS).close()
    except OSError as error:
        return f"the API's service address {address} does not answer: {error}"
    return None


def wait_until(what: str, missing: Callable[[], str | None], *, servers: Sequence[Server], deadline: float) -> None:
    """Wait until nothing is missing.

    Args:
        what: names the thing in the error.
        missing: what is missing, for a person; None when nothing is.
        servers: those it needs.
        deadline: of time.monotonic().

    Raises:
        ClusterError: a server exits, or the deadline passes; carries the end of the logs.
    """
    started = time.monotonic()
    while (reason := missing()) is not None:
        for server in servers:
            server.check()
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {server.name}\n{server.log_end()}" for server in servers)
            raise ClusterError(f"{what} was not ready after {time.monotonic() - started:.1f} s: {reason}\n{logs}")
        time.sleep(_POLL_SECONDS)
