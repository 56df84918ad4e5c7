"""Prompts of a wanted length that share no beginning, unless they should."""

import random

# Each is one token, with its space before it, to byte-level tokenizers of English.
_WORDS = (
    "river house green morning paper under water story light music window garden table early small number people "
    "world school summer night winter after before large young place right point across market church road"
)


def prompt(tokens: int, *, seed: int) -> str:
    """About so many tokens; another seed is another text from its first words on."""
    words, choices = _WORDS.split(), random.Random(seed)  # noqa: S311 - not a secret
    return " ".join(choices.choice(words) for _ in range(tokens))


def short(count: int, *, seed: int) -> list[str]:
    """Prompts of 20 tokens."""
    return [prompt(20, seed=seed * 10_000 + number) for number in range(count)]


def mixed(count: int, *, seed: int) -> list[str]:
    """20 to 400 tokens, the lengths spread evenly, in another order for another seed; the mean is always the same."""
    lengths = [20 + round(380 * number / max(1, count - 1)) for number in range(count)]
    random.Random(seed).shuffle(lengths)  # noqa: S311 - not a secret
    return [prompt(length, seed=seed * 10_000 + number) for number, length in enumerate(lengths)]


def continued(kept: int, *, seed: int, turns: int) -> list[str]:
    """A text of `kept` tokens, gone on with in so many ways by 30."""
    beginning = prompt(kept, seed=seed)
    return [f"{beginning} {prompt(30, seed=seed * 10_000 + turn + 1)}" for turn in range(turns)]
