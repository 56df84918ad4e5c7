"""The servers that are compared, each a process of its own on a free port."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from bench import peers
from bench.ports import free_port
from hfmodel_runtime.allocator import installed

_PATIENCE = 300.0  # seconds to be ready, on a busy machine


def _this_python() -> Path:
    return Path(sys.executable)


@dataclass(frozen=True, slots=True)
class Contender:
    """How to start one server.

    Attributes:
        command: its arguments; `{model}`, `{port}` and `{threads}` are filled in.
        ready: the path that answers 200 once it serves.
        model: what requests call the model; `{model}` is filled in.
        extra: fields of a request that this server knows and the others need not.
        environment: variables that it needs beside those of every server.
        python: finds, or installs, the interpreter; raises `peers.PeerMissing` where there can be none.
    """

    name: str
    command: tuple[str, ...]
    ready: str
    model: str
    extra: tuple[tuple[str, bool], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    python: Callable[[], Path] = _this_python


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    contender: Contender
    url: str
    model: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU time used so far, by the process and its children."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def resident_bytes(self) -> int:
        return int(self.process.memory_info().rss)


_OPTIONS = ("--port", "{port}", "--model-dir", "{model}", "--model-id", "m", "--threads", "{threads}")
_TO_THE_END = (("ignore_eos", True),)
OURS = Contender("hfmodel", ("-m", "hfmodel_runtime", "serve", *_OPTIONS), "/readyz", "m", _TO_THE_END)
OURS_BFLOAT16 = Contender("hfmodel, bfloat16", (*OURS.command, "--dtype", "bfloat16"), "/readyz", "m", _TO_THE_END)
OLD_WAY = Contender(
    "one generate at a time", ("-m", "bench.engine.one_at_a_time", *_OPTIONS), "/readyz", "m", _TO_THE_END
)
TRANSFORMERS = Contender(
    "transformers serve",
    (
        *("-m", "transformers.cli.transformers", "serve", "{model}", "--continuous-batching"),
        *("--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    "/health",
    "{model}",
)
_TCMALLOC = installed()
# Without compilation, which takes minutes at each start. It takes its threads from the environment, not by binding, and
# tcmalloc, as its documentation recommends for CPUs; ours takes that by itself.
VLLM = Contender(
    "vLLM",
    (
        *("-m", "vllm.entrypoints.openai.api_server", "--model", "{model}", "--served-model-name", "m"),
        *("--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--max-num-seqs", "64"),
        *("--host", "127.0.0.1", "--port", "{port}"),
    ),
    "/health",
    "m",
    _TO_THE_END,
    environment=(
        ("VLLM_CPU_KVCACHE_SPACE", "2"),
        ("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
        ("VLLM_NO_USAGE_STATS", "1"),
        *([] if _TCMALLOC is None else [("LD_PRELOAD", str(_TCMALLOC))]),
    ),
    python=peers.vllm,
)
PEERS = (TRANSFORMERS, VLLM)


@contextmanager
def running(contenders: Sequence[Contender], *, model_dir: Path, threads: int, logs: Path) -> Iterator[list[Running]]:
    """All of them started, one after the other, and ended afterwards; what they print goes to `logs`."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_started(contender, model_dir=model_dir, threads=threads, logs=logs))
            for contender in contenders
        ]


@contextmanager
def _started(contender: Contender, *, model_dir: Path, threads: int, logs: Path) -> Iterator[Running]:
    port = free_port()
    words = {"model": str(model_dir), "port": str(port), "threads": str(threads)}
    command = [str(contender.python()), *(word.format(**words) for word in contender.command)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"} | dict(contender.environment)
    log = logs / f"{contender.name.replace(' ', '-').replace(',', '')}.log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as popen:
        try:
            url = f"http://127.0.0.1:{port}"
            _until_ready(popen, url + contender.ready, log)
            yield Running(contender, url, contender.model.format(**words), psutil.Process(popen.pid))
        finally:
            _end(popen)


def _end(popen: "subprocess.Popen[bytes]") -> None:
    """The server and what it has started."""
    try:
        processes = psutil.Process(popen.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        processes = []
    popen.kill()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _until_ready(popen: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _answers(url):
        if popen.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"a server did not start; its last words:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:  # noqa: S310 - an address of our own making
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
