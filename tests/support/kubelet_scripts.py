"""What a kubelet or a scheduler does to every pod it sees, and the states of containers that it reports."""

import json
from collections.abc import Awaitable, Callable

from hfmodel_operator.cluster.api import Json, KubeApi
from support.kubelet import make_fail, make_fetch, make_unschedulable

Kubelet = Callable[[KubeApi, Json], Awaitable[None]]


def serving(state: Json, last: Json | None = None) -> Kubelet:
    """The container that serves is in `state`, and was in `last` before."""

    async def kubelet(api: KubeApi, pod: Json) -> None:
        await make_fail(api, pod, state=state, last=last)

    return kubelet


def fetching(state: Json) -> Kubelet:
    """The init container is in `state`."""

    async def kubelet(api: KubeApi, pod: Json) -> None:
        await make_fetch(api, pod, state=state)

    return kubelet


def unscheduled(message: str) -> Kubelet:
    async def kubelet(api: KubeApi, pod: Json) -> None:
        await make_unschedulable(api, pod, message=message)

    return kubelet


async def idle(_: KubeApi, __: Json) -> None:
    """Does nothing."""


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, **fields: str) -> Json:
    return {"terminated": {"exitCode": code, **fields}}


def last_word(reason: str, message: str, *, retryable: bool) -> str:
    """What a fetch that failed leaves as its termination message."""
    return json.dumps({"event": "error", "reason": reason, "message": message, "retryable": retryable})
