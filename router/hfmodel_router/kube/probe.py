"""Asks starting pods themselves whether they are ready, while somebody waits: the kubelet may be seconds later."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Set

import aiohttp

from hfmodel_api.wire import PATH_READYZ
from hfmodel_router.kube.objects import Pod

logger = logging.getLogger(__name__)

_INTERVAL = 0.15  # seconds, while somebody waits for a pod that is not ready
_CONFIRM_INTERVAL = 1.0  # of a pod that answered, until the kubelet has its say
_PATIENCE = 15.0  # after the last want, which is repeated every few seconds while somebody waits
_TIMEOUT = aiohttp.ClientTimeout(total=1.0)
_MOST_AT_ONCE = 64

Ask = Callable[[str], Awaitable[bool]]


class HttpAsk:
    """`GET <url>/readyz`; an async context manager."""

    async def __aenter__(self) -> "HttpAsk":
        connector = aiohttp.TCPConnector(limit=_MOST_AT_ONCE)
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def __call__(self, url: str) -> bool:
        """Whether the runtime at `url` is ready."""
        try:
            async with self._session.get(url + PATH_READYZ, allow_redirects=False) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.debug("no answer", extra={"url": url, "error": repr(error)})
            return False


class Prober:
    """Keeps asking the pods that may serve soon of models that are wanted.

    Args:
        changed: called with a model's id when one of its pods begins or ceases to answer.
        interval, confirm_interval, patience: seconds.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        changed: Callable[[str], None],
        interval: float = _INTERVAL,
        confirm_interval: float = _CONFIRM_INTERVAL,
        patience: float = _PATIENCE,
    ) -> None:
        self._ask = ask
        self._changed = changed
        self._interval = interval
        self._confirm_interval = confirm_interval
        self._patience = patience
        self._candidates: dict[str, dict[str, Pod]] = {}  # by model, by incarnation
        self._until: dict[str, float] = {}  # by model
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by incarnation
        self._answering: set[str] = set()

    @property
    def answering(self) -> Set[str]:
        """Incarnations of pods that said they are ready, and that the kubelet has not confirmed yet."""
        return self._answering

    def wanted(self, model_id: str) -> None:
        """Somebody waits for this model."""
        now = asyncio.get_running_loop().time()
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[model_id] = now + self._patience
        self._start(model_id)

    def candidates(self, model_id: str, pods: Iterable[Pod]) -> None:
        """These pods of the model may serve soon; what is known of others is forgotten."""
        before = self._candidates.pop(model_id, {})
        after = {pod.incarnation: pod for pod in pods}
        if after:
            self._candidates[model_id] = after
        for incarnation in before.keys() - after.keys():
            self._answering.discard(incarnation)
            task = self._tasks.pop(incarnation, None)
            if task is not None:
                task.cancel()
        self._start(model_id)

    async def close(self) -> None:
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, model_id: str) -> None:
        if not self._is_wanted(model_id):
            return
        for pod in self._candidates.get(model_id, {}).values():
            if pod.incarnation not in self._tasks:
                self._tasks[pod.incarnation] = asyncio.create_task(self._probe(pod), name=f"probe {pod.name}")

    def _is_wanted(self, model_id: str) -> bool:
        return self._until.get(model_id, 0.0) > asyncio.get_running_loop().time()

    async def _probe(self, pod: Pod) -> None:
        """Ask until nobody waits any more, or, once it answered, until it ceases to or is no candidate any more."""
        answers = False
        while answers or self._is_wanted(pod.model_id):
            ready = pod.url is not None and await self._ask(pod.url)
            if ready != answers:
                answers = ready
                self._note(pod, ready=ready)
            pause = self._confirm_interval if ready else self._interval
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311
        del self._tasks[pod.incarnation]

    def _note(self, pod: Pod, *, ready: bool) -> None:
        logger.info("pod answers" if ready else "pod ceased to answer", extra={"model": pod.model_id, "pod": pod.name})
        if ready:
            self._answering.add(pod.incarnation)
        else:
            self._answering.discard(pod.incarnation)
        self._changed(pod.model_id)
