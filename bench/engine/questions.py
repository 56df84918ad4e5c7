"""What is asked of the engines: a load for each question, and the figure that answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.engine import prompts
from bench.engine.load import Leg
from bench.engine.servers import OLD_WAY, OURS, OURS_BFLOAT16, TRANSFORMERS, VLLM, Contender

NEW_TOKENS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One load, driven through two servers in turn.

    Attributes:
        prompts: so many of them, for a seed.
        their_prompts: those of the other leg, where they differ.
        figure: of a leg; `ratio` says how two of them compare, more being better for us.
        target: the least ratio that is good enough.
        by: this engine, as it is started for this question.
        ours, theirs: requests in a leg of each server; a steady load needs some rounds, a slow server need not do all.
    """

    name: str
    title: str
    against: Contender
    clients: int
    ours: int
    theirs: int
    prompts: Callable[[int, int], Sequence[str]]
    figure: Callable[[Leg], float]
    unit: str
    more_is_better: bool
    target: float
    new_tokens: int = NEW_TOKENS
    their_prompts: Callable[[int, int], Sequence[str]] | None = None
    by: Contender = OURS

    def ratio(self, mine: Leg, theirs: Leg) -> float:
        """How many times better this engine is."""
        own, other = self.figure(mine), self.figure(theirs)
        return own / other if self.more_is_better else other / own


def _short(count: int, seed: int) -> Sequence[str]:
    return prompts.short(count, seed=seed)


def _mixed(count: int, seed: int) -> Sequence[str]:
    return prompts.mixed(count, seed=seed)


def _kept(tokens: int, *, target: float) -> Question:
    """One server, once with prompts that share a beginning, once with prompts as long that do not."""
    return Question(
        name=f"kept-{tokens}",
        title=f"prompts of {tokens} known tokens and 30 new ones: time to first token, p50",
        against=OURS,
        clients=1,
        ours=7,
        theirs=7,
        prompts=lambda count, seed: prompts.continued(tokens, seed=seed, turns=count),
        their_prompts=lambda count, seed: [
            prompts.prompt(tokens + 30, seed=-seed * 10_000 - number - 1) for number in range(count)
        ],
        figure=lambda leg: leg.first_token(0.5),
        unit="s",
        more_is_better=False,
        target=target,
        new_tokens=2,
    )


def _throughput(
    name: str,
    title: str,
    *,
    make: Callable[[int, int], Sequence[str]],
    clients: int,
    target: float,
    against: Contender = OLD_WAY,
    by: Contender = OURS,
) -> Question:
    # One `generate` at a time is as fast for many clients as for one.
    theirs = 6 if against is OLD_WAY else 2 * clients
    return Question(
        name=name,
        title=title,
        against=against,
        clients=clients,
        ours=4 if clients == 1 else 2 * clients,
        theirs=theirs,
        prompts=make,
        figure=lambda leg: leg.tokens_per_second,
        unit="tokens/s",
        more_is_better=True,
        target=target,
        by=by,
    )


def _beside(name: str, other: Contender, *, target: float) -> Sequence[Question]:
    """Against a server that batches too."""
    short, mixed = "16 clients, prompts of 20 tokens", "16 clients, prompts of 20 to 400 tokens"
    return (
        _throughput(f"{name}-short-16", short, make=_short, clients=16, target=target, against=other),
        _throughput(f"{name}-16", mixed, make=_mixed, clients=16, target=target, against=other),
    )


ENGINE = (
    _throughput("one", "one client, short prompts", make=_short, clients=1, target=1.3),
    _throughput(
        "one-bfloat16",
        "one client, short prompts, bfloat16 beside float32",
        make=_short,
        clients=1,
        target=2,
        by=OURS_BFLOAT16,
    ),
    _throughput("short-16", "16 clients, prompts of 20 tokens", make=_short, clients=16, target=6),
    _throughput("short-64", "64 clients, prompts of 20 tokens", make=_short, clients=64, target=10),
    _throughput("mixed-16", "16 clients, prompts of 20 to 400 tokens", make=_mixed, clients=16, target=4.5),
    _throughput("mixed-64", "64 clients, prompts of 20 to 400 tokens", make=_mixed, clients=64, target=5),
    Question(
        name="ttft-16",
        title="16 clients, prompts of 20 to 400 tokens: time to first token, p95",
        against=OLD_WAY,
        clients=16,
        ours=32,
        theirs=16,
        prompts=_mixed,
        figure=lambda leg: leg.first_token(0.95),
        unit="s",
        more_is_better=False,
        target=4,
    ),
    _kept(200, target=3),
    _kept(400, target=6),
    *_beside("transformers", TRANSFORMERS, target=1.5),
    *_beside("vllm", VLLM, target=1),
)


def named(names: Sequence[str]) -> list[Question]:
    """Those questions, or all for none.

    Raises:
        SystemExit: there is no such question.
    """
    known = {question.name: question for question in ENGINE}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise SystemExit(f"no question {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(ENGINE)


__all__ = ["ENGINE", "OURS", "Question", "named"]
