"""Texts and conversations as token ids, off the event loop: a prompt may be megabytes long."""

import asyncio
from collections.abc import Sequence

from hfmodel_api.errors import InvalidRequest
from hfmodel_api.requests import Message
from hfmodel_runtime.engine.protocol import ChatMessage, Tokenizer


async def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a plain prompt."""
    return await asyncio.to_thread(tokenizer.encode, text)


async def encode_chat(tokenizer: Tokenizer, messages: Sequence[ChatMessage], *, param: str) -> list[int]:
    """Token ids of a conversation, ready for the assistant's turn; `param` is the caller's name for it.

    Raises:
        InvalidRequest: the model's template refuses these messages.
    """
    try:
        return await asyncio.to_thread(tokenizer.encode_chat, messages)
    except ValueError as error:
        raise InvalidRequest(f"the model's chat template refuses this: {error}", param=param) from error


def chat_messages(messages: Sequence[Message]) -> list[ChatMessage]:
    """OpenAI's messages in the words that templates know (a developer is a system)."""
    return [ChatMessage("system" if each.role == "developer" else each.role, each.text) for each in messages]
