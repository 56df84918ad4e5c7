"""Asks for an answer and prints it, whole or as it comes."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

import click

from hfmodel_cli.client import Server
from hfmodel_cli.output import print_json, print_json_line, print_text, waking

COMPLETIONS = "/v1/completions"
CHAT_COMPLETIONS = "/v1/chat/completions"


def print_answer(server: Server, path: str, body: Mapping[str, Any], *, stream: bool | None, as_json: bool) -> None:
    """The answer to one of OpenAI's calls: streamed unless it is JSON or `stream` says otherwise."""
    streamed = not as_json if stream is None else stream
    with waking(server, body["model"]) as waiting:
        if streamed and as_json:
            for event in server.stream(path, body):
                waiting.over()
                print_json_line(event)
        elif streamed:
            _print_as_it_comes(pieces(server, path, body, waiting.over))
        else:
            answer = server.ask(path, body)
            waiting.over()
            if as_json:
                print_json(answer)
            else:
                _print_as_it_comes(iter([_text(answer)]))


def pieces(server: Server, path: str, body: Mapping[str, Any], begun: Callable[[], None]) -> Generator[str, None, None]:
    """The text of a streamed answer; `begun` is called at its first sign. Close it to stop the answer."""
    with closing(server.stream(path, body)) as events:
        for event in events:
            begun()
            if text := _text(event):
                yield text


def _print_as_it_comes(texts: Iterator[str]) -> None:
    last = ""
    for last in texts:
        print_text(last)
    if not last.endswith("\n"):
        click.echo()


def _text(answer: Mapping[str, Any]) -> str:
    """The text of an answer or of one of its events; empty where it has none, as in the last event."""
    choices = answer.get("choices") or [{}]
    choice = choices[0]
    text = choice.get("text")
    if text is None:
        text = (choice.get("delta") or choice.get("message") or {}).get("content")
    return text or ""
