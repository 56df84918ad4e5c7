"""How a conversation becomes a prompt where the model brings no chat template; see docs/chat.md."""

from collections.abc import Sequence
from enum import StrEnum

from hfmodel_runtime.engine.protocol import ChatMessage


class ChatFormat(StrEnum):
    TEMPLATE = "template"  # the model's own
    DIALOGPT = "dialogpt"  # turns joined by the end token
    HUMAN_ASSISTANT = "human-assistant"  # "Human: …", "Assistant: …"
    PLAIN = "plain"  # the messages as lines: an encoder-decoder model takes an instruction


HUMAN_STOP = "\nHuman:"
_NAMES = {"user": "Human", "assistant": "Assistant"}


def choose_format(*, has_template: bool, seq2seq: bool, model_type: str, has_eos: bool) -> ChatFormat:
    """`model_type` is spec.type."""
    if has_template:
        return ChatFormat.TEMPLATE
    if seq2seq:
        return ChatFormat.PLAIN
    if model_type == "conversational" and has_eos:
        return ChatFormat.DIALOGPT
    return ChatFormat.HUMAN_ASSISTANT


def human_assistant_prompt(messages: Sequence[ChatMessage]) -> str:
    """Named turns and the assistant's name; a system message stands above them as it is."""
    lines = [
        f"{_NAMES[message.role]}: {message.content}" if message.role in _NAMES else message.content
        for message in messages
    ]
    return "\n".join([*lines, "Assistant:"])


def plain_prompt(messages: Sequence[ChatMessage]) -> str:
    """One line for each message, the newest last."""
    return "\n".join(message.content for message in messages)
