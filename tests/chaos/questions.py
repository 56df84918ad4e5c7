"""What is asked, of which model, and where the answer's text stands. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

REAL: Final = "smollm2"
STEADY: Final = "steady"
NAPPERS: Final = ("napper", "dozer")
# Which architecture each tiny model has.
TINY: Final[Mapping[str, str]] = {STEADY: "llama", "napper": "gpt2", "dozer": "gpt_neox"}
MODELS: Final = (STEADY, *NAPPERS, REAL)

_SHORT: Final = "The quick brown fox"
# About as long as a tiny model can read and still have room to answer.
_LONG: Final = "The quick brown fox jumps over the lazy dog. the capital of France is the lazy fox of Paris. " * 2
# Of these answers every token is so much likelier than the next one that rounding in a batch changes none.
_REAL_SHORT: Final = "Once upon a time"
_REAL_LONG: Final = (
    "A river is a natural stream of fresh water that flows on land towards another body of water at a lower elevation, "
    "such as an ocean, a lake or another river. Small rivers are called creeks or brooks. " * 6 + "In short, a river is"
)


class Call(StrEnum):
    """The kinds of calls."""

    GENERATE = "generate"
    COMPLETION = "completion"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Question:
    """A greedy question: its answer is always the same text, as long as the model is the same."""

    model: str
    call: Call
    prompt: str
    tokens: int  # of the answer, at most

    @property
    def path(self) -> str:
        match self.call:
            case Call.GENERATE:
                return f"/models/{self.model}/generate"
            case Call.COMPLETION:
                return "/v1/completions"
            case Call.CHAT:
                return "/v1/chat/completions"

    def body(self, *, stream: bool) -> dict[str, Any]:
        match self.call:
            case Call.GENERATE:
                own: dict[str, Any] = {"text": self.prompt, "do_sample": False, "max_new_tokens": self.tokens}
            case Call.COMPLETION:
                own = {"model": self.model, "prompt": self.prompt, "temperature": 0, "max_tokens": self.tokens}
            case Call.CHAT:
                messages = [{"role": "user", "content": self.prompt}]
                own = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.tokens}
        return {**own, "stream": True} if stream else own

    def text_of(self, answer: Mapping[str, Any]) -> str:
        """The text of a whole answer."""
        match self.call:
            case Call.GENERATE:
                return str(answer["generated_text"][0])
            case Call.COMPLETION:
                return str(answer["choices"][0]["text"])
            case Call.CHAT:
                return str(answer["choices"][0]["message"]["content"])


def questions_of(model: str) -> tuple[Question, ...]:
    """Short and long prompts with short and long answers."""
    if model == REAL:
        return (
            Question(model, Call.CHAT, "What is the capital of France?", 8),
            Question(model, Call.CHAT, "Name the days of the week.", 48),
            Question(model, Call.COMPLETION, _REAL_LONG, 8),
            Question(model, Call.GENERATE, _REAL_SHORT, 24),
        )
    return (
        Question(model, Call.COMPLETION, _SHORT, 4),
        Question(model, Call.COMPLETION, _SHORT, 64),
        Question(model, Call.GENERATE, _LONG, 8),
        Question(model, Call.GENERATE, _SHORT, 48),
    )
