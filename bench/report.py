"""Results as a table, and as JSON with what it takes to run them again."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import psutil

from bench.engine import Answer
from bench.load import Leg

_HEADER = ("question", "against", "ours", "theirs", "times better (each pair)", "target", "CPU per token")


def table(answers: Sequence[Answer]) -> str:
    """Markdown."""
    rows = [_HEADER, tuple("---" for _ in _HEADER), *(row(answer) for answer in answers)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


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


def document(answers: Sequence[Answer], *, command: Sequence[str], model: str, threads: int) -> str:
    """JSON."""
    content = {
        "command": " ".join(command),
        "model": model,
        "threads": threads,
        "machine": {"processor": _processor(), "cpus": psutil.cpu_count(), "load": psutil.getloadavg()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("hfmodel", "torch", "transformers")},
        },
        "questions": [_question(answer) for answer in answers],
    }
    return json.dumps(content, indent=2) + "\n"


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


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:  # noqa: PTH123 - not a file of ours
        names = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return names[0] if names else platform.processor()
