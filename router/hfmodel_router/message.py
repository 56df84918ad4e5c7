"""The answer of calls that only say what was done."""

from pydantic import BaseModel


class Message(BaseModel):
    message: str
