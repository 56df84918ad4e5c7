"""Every proxy in turn, round after round: what a request costs it, what it adds, what open streams take."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.relay import rig, traffic
from bench.relay.proxies import Proxy, ours

CONNECTIONS = 32
RATE = 200.0  # requests a second, at which the added time is measured
STREAMS = 2000
_WARM_UP = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Closed:
    """One round of callers who ask again once answered.

    Attributes:
        cpu: seconds that an answer costs the proxy, all its processes together.
        per_second: answers, with backend and callers on the same processors.
        reads: of a caller, for one answer: fewer than the chunks where the proxy puts them together.
    """

    cpu: float
    per_second: float
    reads: float


@dataclass(frozen=True, slots=True)
class Paced:
    """Seconds from a request to the end of its answer, at `RATE`."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All rounds of one proxy, and the resident bytes of it with `STREAMS` streams open."""

    name: str
    version: str
    plain: tuple[Closed, ...]
    stream: tuple[Closed, ...]
    paced: tuple[Paced, ...]
    resident: int

    def plain_cpu(self) -> float:
        return statistics.median(each.cpu for each in self.plain)

    def stream_cpu(self) -> float:
        return statistics.median(each.cpu for each in self.stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run. `direct` is the backend without a proxy; `replicas` the answers of as many routers at once."""

    proxies: tuple[Figures, ...]
    direct: tuple[Paced, ...]
    replicas: dict[int, Closed]

    def added(self, figures: Figures, share: Callable[[Paced], float]) -> float:
        """Seconds that the proxy adds: the median over the rounds, each beside its own direct leg."""
        return statistics.median(
            share(each) - share(bare) for each, bare in zip(figures.paced, self.direct, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds of each proxy, seconds of each leg."""

    rounds: int
    seconds: float


def measure(others: Sequence[Proxy], plan: Plan, *, report: Callable[[str], None]) -> Measured:
    """Start all, measure by turns, end all."""
    rig.raise_file_limit()
    contenders = [*ours(traffic.MODEL), *others]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        port = stack.enter_context(rig.backend(folder))
        proxies = [stack.enter_context(rig.running(each, backend=port, folder=folder)) for each in contenders]
        rounds = _Rounds(plan, proxies, direct_url=f"http://127.0.0.1:{port}")
        for number in range(plan.rounds):
            rounds.run()
            report(f"round {number + 1} of {plan.rounds} is done")
        resident = [_resident(proxy) for proxy in proxies]
        report(f"{STREAMS} streams were open at each")
        second = stack.enter_context(rig.running(contenders[0], backend=port, folder=folder))
        replicas = {count: _closed("plain", [proxies[0], second][:count], plan.seconds) for count in (1, 2)}
    figures = (
        Figures(
            name=proxy.name,
            version=contender.describe(),
            plain=tuple(rounds.plain[proxy.name]),
            stream=tuple(rounds.stream[proxy.name]),
            paced=tuple(rounds.paced[proxy.name]),
            resident=took,
        )
        for proxy, contender, took in zip(proxies, contenders, resident, strict=True)
    )
    return Measured(proxies=tuple(figures), direct=tuple(rounds.direct), replicas=replicas)


class _Rounds:
    """What was measured so far, by proxy."""

    def __init__(self, plan: Plan, proxies: Sequence[rig.Running], *, direct_url: str) -> None:
        self._plan, self._proxies, self._direct_url = plan, proxies, direct_url
        self.plain: dict[str, list[Closed]] = {proxy.name: [] for proxy in proxies}
        self.stream: dict[str, list[Closed]] = {proxy.name: [] for proxy in proxies}
        self.paced: dict[str, list[Paced]] = {proxy.name: [] for proxy in proxies}
        self.direct: list[Paced] = []

    def run(self) -> None:
        """One more of each."""
        seconds = self._plan.seconds
        for proxy in self._proxies:
            _closed("plain", [proxy], _WARM_UP)
            self.plain[proxy.name].append(_closed("plain", [proxy], seconds))
            self.stream[proxy.name].append(_closed("stream", [proxy], seconds))
        self.direct.append(_paced(self._direct_url, seconds))
        for proxy in self._proxies:
            self.paced[proxy.name].append(_paced(proxy.url, seconds))


def _closed(kind: str, proxies: Sequence[rig.Running], seconds: float) -> Closed:
    before = sum(proxy.cpu_seconds() for proxy in proxies)
    seen = rig.load(kind, [proxy.url for proxy in proxies], connections=CONNECTIONS, seconds=seconds)
    cpu, answered = sum(proxy.cpu_seconds() for proxy in proxies) - before, int(seen["answered"])
    return Closed(cpu / answered, answered / seconds, int(seen["reads"]) / answered)


def _paced(url: str, seconds: float) -> Paced:
    seen = rig.load("rate", [url], rate=RATE, seconds=seconds)
    return Paced(float(seen["p50"]), float(seen["p99"]))


def _resident(proxy: rig.Running) -> int:
    with rig.held_streams(proxy.url, STREAMS):
        return proxy.resident_bytes()
