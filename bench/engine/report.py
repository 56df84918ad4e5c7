"""Answers as rows of a table, as bars, and as JSON."""

from collections.abc import Sequence
from typing import Any

from bench import bars
from bench.engine.load import Leg
from bench.engine.measure import Answer

HEADER = ("question", "against", "ours", "theirs", "times better (each pair)", "target", "CPU per token")


def row(answer: Answer) -> tuple[str, ...]:
    """The cells of one question."""
    question, last = answer.question, answer.pairs[-1]
    each = ", ".join(f"{ratio:.2f}" for ratio in answer.ratios)
    return (
        question.title,
        question.against.name,
        f"{question.figure(last.ours):.2f} {question.unit}",
        f"{question.figure(last.theirs):.2f} {question.unit}",
        f"**{answer.ratio:.2f}** ({each})",
        f"{question.target:g}",
        f"{answer.cpu_ratio:.2f} times less",
    )


def bar(answer: Answer) -> bars.Bar:
    """How many times better, beside what it should be."""
    question = answer.question
    note = f"beside {question.against.name}"
    return bars.Bar(label=question.title, note=note, value=answer.ratio, unit="x", target=question.target)


def content(answers: Sequence[Answer], *, model: str, threads: int) -> dict[str, Any]:
    """What goes into the JSON."""
    return {"model": model, "threads": threads, "questions": [_question(answer) for answer in answers]}


def _question(answer: Answer) -> dict[str, Any]:
    question = answer.question
    return {
        "name": question.name,
        "title": question.title,
        "against": question.against.name,
        "clients": question.clients,
        "unit": question.unit,
        "target": question.target,
        "ratio": round(answer.ratio, 3),
        "cpu_ratio": round(answer.cpu_ratio, 3),
        "pairs": [
            {
                "ratio": round(question.ratio(pair.ours, pair.theirs), 3),
                "ours": _leg(pair.ours),
                "theirs": _leg(pair.theirs),
            }
            for pair in answer.pairs
        ],
    }


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        "requests": len(leg.answers),
        "prompt_tokens_mean": round(sum(answer.prompt_tokens for answer in leg.answers) / len(leg.answers), 1),
        "tokens": leg.tokens,
        "seconds": round(leg.seconds, 3),
        "tokens_per_second": round(leg.tokens_per_second, 2),
        "cpu_ms_per_token": round(leg.cpu_ms_per_token, 2),
        "contended": round(leg.contended, 3),
        "first_token_seconds": {"p50": round(leg.first_token(0.5), 3), "p95": round(leg.first_token(0.95), 3)},
    }
