"""The `context` of /chat: the conversation so far, as the JSON text that the last answer carried."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hfmodel_api.errors import InvalidRequest
from hfmodel_runtime.engine.protocol import ChatMessage

MAX_TURNS = 10_000


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


_TURNS: TypeAdapter[list[_Turn]] = TypeAdapter(Annotated[list[_Turn], Field(max_length=MAX_TURNS, fail_fast=True)])


def read_transcript(context: str | None) -> list[ChatMessage]:
    """The turns of `context`; none if there is no context.

    Raises:
        InvalidRequest: it is not a transcript that `write_transcript` made.
    """
    if not context:
        return []
    try:
        turns = _TURNS.validate_json(context)
    except ValidationError:
        raise InvalidRequest(
            "context is not a transcript: send back the context of the last answer as it came, or none", param="context"
        ) from None
    return [ChatMessage(turn.role, turn.content) for turn in turns]


def write_transcript(turns: Sequence[ChatMessage]) -> str:
    """`turns` as a context that `read_transcript` reads back unchanged."""
    return _TURNS.dump_json([_Turn(role=turn.role, content=turn.content) for turn in turns]).decode()  # type: ignore[arg-type]
