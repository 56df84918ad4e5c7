"""Log lines that a person reads and a program splits: a timestamp, a level, a message, then key=value."""

import json
import logging
import sys
import time
from typing import Final, TextIO

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+,")


class KeyValueFormatter(logging.Formatter):
    """Renders `extra={"fields": {...}}` as key=value behind the message; a line stays one line."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = f"{self.formatTime(record)} {record.levelname.lower()} {message}"
        for key, value in getattr(record, "fields", {}).items():
            line += f" {key}={_shown(value)}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _shown(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)


def configure(level: str, *, stream: TextIO | None = None) -> None:
    """Send every log record of this process to `stream` (default: stderr). Replaces earlier handlers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Libraries speak up when something is wrong; what goes right is ours to say.
    for chatty in ("uvicorn", "asyncio", "urllib3", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
