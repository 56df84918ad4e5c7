"""Runtime processes as pods: fetched, started, watched until they are ready, ended, and explained when they end by
themselves.

One task lives each pod's life and is the only one to say that it has ended.
"""

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hfmodel_api.spec import HFModel
from hfmodel_api.status import Reason
from hfmodel_cli.local.failures import Evidence, explain, oom_kills
from hfmodel_cli.local.fetches import Fetches, FetchFailed
from hfmodel_cli.local.pod import Owner, Pod
from hfmodel_cli.local.processes import Exit, Launch, Launcher, LaunchFailed, RuntimeProcess
from hfmodel_cli.local.template import environment_of
from hfmodel_operator.observed import PodFailure, PodState
from hfmodel_operator.runtime_client import RuntimeClient
from hfmodel_operator.serving import serve_settings
from hfmodel_operator.source import Fetched, source_of

logger = logging.getLogger(__name__)

_READY_POLL_SECONDS = 0.05
_SLOW_READY_POLL_SECONDS = 0.25  # once a start takes long, nobody notices the difference
_SLOW_AFTER_POLLS = 400
_UNANSWERED = timedelta(seconds=60)  # so long without an answer, the process hangs
_LOG_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """What all pods share."""

    directory: Path  # logs and termination logs
    log_level: str = "warning"
    drain_timeout: float = 300.0  # seconds a pod that was told to go has for what it runs
    grace: float = 5.0  # seconds more before it is killed


@dataclass(slots=True)
class Pods:
    """All pods of this machine."""

    launcher: Launcher
    fetches: Fetches
    client: RuntimeClient
    owner: Owner
    options: PodOptions
    now: Callable[[], datetime]
    _pods: dict[str, Pod] = field(default_factory=dict)
    _side_tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    def of(self, model_id: str) -> tuple[Pod, ...]:
        return tuple(pod for pod in self._pods.values() if pod.model.id == model_id)

    def all(self) -> tuple[Pod, ...]:
        return tuple(self._pods.values())

    def find(self, name: str, uid: str) -> Pod | None:
        """The pod of this name, if it is still that very one."""
        pod = self._pods.get(name)
        return pod if pod is not None and pod.uid == uid else None

    def create(self, model: HFModel) -> Pod:
        """Start one more pod of `model`; returns at once."""
        suffix = secrets.token_hex(3)
        name = f"{model.id}-{suffix}"
        pod = Pod(
            name=name,
            uid=secrets.token_hex(8),
            model=model,
            created_at=self.now(),
            log=self.options.directory / f"{name}.log",
            termination_log=self.options.directory / f"{name}.termination",
        )
        self._pods[name] = pod
        pod.task = asyncio.create_task(self._live(pod), name=f"pod {name}")
        logger.info("event=pod_created model=%s pod=%s", model.id, name)
        self.owner.pod_changed(pod)
        return pod

    def delete(self, pod: Pod) -> None:
        """Let `pod` finish what it runs and go; returns at once. Idempotent."""
        if pod.state is PodState.GOING:
            return
        before, pod.state = pod.state, PodState.GOING
        logger.info("event=pod_deleted model=%s pod=%s was=%s", pod.model.id, pod.name, before)
        if pod.process is not None and before is not PodState.FAILED:
            self._begin(self._end(pod, pod.process))
        elif before in (PodState.FETCHING, PodState.FAILED):
            if pod.task is not None:
                pod.task.cancel()
            self._remove(pod)
            return
        # Else it is being launched: whoever does that sees that it is to go.
        self.owner.pod_changed(pod)

    async def retire(self, pod: Pod, idle_for_seconds: float) -> bool:
        """Ask `pod` to take no more work. True if it agreed."""
        if pod.process is None or pod.state is not PodState.READY:
            return False
        agreed = await self.client.retire(pod.process.url, idle_for_seconds)
        if agreed and pod.state is PodState.READY:
            pod.state = PodState.RETIRED
            logger.info("event=pod_retired model=%s pod=%s", pod.model.id, pod.name)
            self.owner.pod_changed(pod)
        return agreed

    async def refresh(self, *, wait: float) -> None:
        """Ask all pods that serve what they do; who takes longer than `wait` seconds is not waited for."""
        polls = [self._poll(pod, pod.process) for pod in self._pods.values() if pod.serves and pod.process]
        if polls:
            await asyncio.wait(polls, timeout=wait)

    async def close(self, *, within: float) -> None:
        """End all pods: gently, and after `within` seconds by force."""
        for pod in self.all():
            self.delete(pod)
        tasks = [pod.task for pod in self.all() if pod.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within)
        await self.kill()
        for task in (*self._side_tasks, *tasks):
            task.cancel()
        await asyncio.gather(*self._side_tasks, *tasks, return_exceptions=True)

    async def kill(self) -> None:
        """End all pods now."""
        for pod in self.all():
            if pod.process is not None:
                await pod.process.send_signal(signal.SIGKILL)

    async def _live(self, pod: Pod) -> None:
        source = source_of(pod.model)
        try:
            pod.fetched = await self.fetches.ensure(source)
            pod.starting_since, pod.state = self.now(), PodState.STARTING
            self.owner.pod_changed(pod)
            kills = oom_kills()
            pod.process = await self.launcher.launch(self._launch(pod, pod.fetched))
        except FetchFailed as error:
            self._fail(pod, error.failure)
        except LaunchFailed as error:
            self._fail(pod, PodFailure(Reason.CRASH_LOOP, str(error)))
        except Exception as error:  # whatever it is, the pod must not stay as if it were coming
            logger.exception("event=pod_broken pod=%s", pod.name)
            self._fail(pod, PodFailure(Reason.CRASH_LOOP, f"the runtime could not be started: {error}"))
        else:
            exit_ = await self._watch(pod, pod.process)
            if pod.state is not PodState.GOING:
                # What was fetched may be what it stumbled over.
                self.fetches.distrust(source)
            self._ended(pod, exit_, kills)

    def _launch(self, pod: Pod, fetched: Fetched) -> Launch:
        settings: dict[str, Any] = {
            **serve_settings(pod.model),
            "model_dir": fetched.path,
            "revision": fetched.revision,
            "termination_log": str(pod.termination_log),
            "log_level": self.options.log_level,
            "drain_timeout": self.options.drain_timeout,
        }
        return Launch(settings=settings, env=environment_of(pod.model), log=str(pod.log))

    async def _watch(self, pod: Pod, process: RuntimeProcess) -> Exit:
        """Wait for the end of the process; meanwhile see it become ready."""
        if pod.state is PodState.GOING:
            self._begin(self._end(pod, process))
        becoming_ready = asyncio.create_task(self._become_ready(pod, process))
        try:
            return await process.wait()
        finally:
            becoming_ready.cancel()
            await asyncio.gather(becoming_ready, return_exceptions=True)

    async def _become_ready(self, pod: Pod, process: RuntimeProcess) -> None:
        polls = 0
        while not await self.client.ready(process.url):
            polls += 1
            await asyncio.sleep(_READY_POLL_SECONDS if polls < _SLOW_AFTER_POLLS else _SLOW_READY_POLL_SECONDS)
        if pod.state is PodState.STARTING:
            pod.state = PodState.READY
            pod.ready_at = pod.answered_at = self.now()
            logger.info("event=pod_ready model=%s pod=%s pid=%d", pod.model.id, pod.name, process.pid)
            self.owner.pod_ready(pod)
            self.owner.pod_changed(pod)

    def _poll(self, pod: Pod, process: RuntimeProcess) -> "asyncio.Task[None]":
        if pod.poll is None or pod.poll.done():
            pod.poll = self._begin(self._ask(pod, process))
        return pod.poll

    async def _ask(self, pod: Pod, process: RuntimeProcess) -> None:
        pod.activity = await self.client.activity(process.url)
        pod.activity_at = now = self.now()
        if pod.activity is not None:
            pod.answered_at = now
            if pod.state is PodState.RETIRED and not pod.activity.retired:
                pod.state = PodState.READY  # its retirement ended without anybody following it up
                self.owner.pod_changed(pod)
        if await self.client.dead(process.url):
            await self._condemn(pod, process, "its engine has failed")
        elif pod.answered_at is not None and now - pod.answered_at > _UNANSWERED:
            await self._condemn(pod, process, f"it did not answer for {_UNANSWERED.seconds} s")
        _limit(pod.log)

    async def _condemn(self, pod: Pod, process: RuntimeProcess, why: str) -> None:
        logger.warning("event=pod_condemned model=%s pod=%s why=%s", pod.model.id, pod.name, why)
        pod.verdict = f"was ended because {why}"
        await process.send_signal(signal.SIGKILL)

    def _ended(self, pod: Pod, exit_: Exit, oom_kills_before: int) -> None:
        if pod.state is PodState.GOING:
            self._remove(pod)
            return
        evidence = Evidence(
            exit=Exit(exit_.code, None if pod.verdict else exit_.signal, pod.verdict or exit_.message),
            termination_log=pod.termination_log,
            log=pod.log,
            oom_kills_before=oom_kills_before,
            oom_kills_after=oom_kills(),
        )
        self._fail(pod, explain(evidence))

    def _fail(self, pod: Pod, failure: PodFailure) -> None:
        if pod.state is PodState.GOING:
            self._remove(pod)
            return
        pod.state, pod.failure, pod.activity = PodState.FAILED, failure, None
        logger.info("event=pod_failed model=%s pod=%s reason=%s", pod.model.id, pod.name, failure.reason)
        self.owner.pod_failed(pod, failure)
        self.owner.pod_changed(pod)

    def _remove(self, pod: Pod) -> None:
        if self._pods.pop(pod.name, None) is None:
            return
        for path in (pod.log, pod.termination_log):
            path.unlink(missing_ok=True)
        self.owner.pod_changed(pod)

    async def _end(self, pod: Pod, process: RuntimeProcess) -> None:
        """SIGTERM, and SIGKILL if it is still there when it should have finished."""
        await process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.options.drain_timeout + self.options.grace):
                await process.wait()
        except TimeoutError:
            logger.warning("event=pod_killed model=%s pod=%s", pod.model.id, pod.name)
            await process.send_signal(signal.SIGKILL)

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_task_done)
        return task

    def _side_task_done(self, task: "asyncio.Task[None]") -> None:
        self._side_tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("event=side_task_failed", exc_info=error)


def _limit(log: Path) -> None:
    """Empty a log that has grown too long; its writer appends, so it goes on at the start."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        os.truncate(log, 0)
