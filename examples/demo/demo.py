"""`make demo`: serve a real language model with `hfmodel up`, ask it three questions, and keep serving.

The three questions go through the router, each by another door: the native completion, the native chat, and a
streaming chat with the official `openai` client. `--once` stops after them; the exit code says whether all were right.
"""

import argparse
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI
from rich.console import Console

CATALOG = Path(__file__).resolve().parent / "catalog"
MODEL = "smollm2"
# The first start converts the weights once; later ones take seconds.
START_TIMEOUT_SECONDS = 600.0

console = Console(highlight=False)


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


def main() -> int:
    arguments = _arguments()
    port = arguments.port or _free_port()
    url = f"http://127.0.0.1:{port}"
    try:
        with _hfmodel_up(port) as server:
            _wait_until_up(server, url)
            answers = [ask(url) for ask in (_complete, _chat, _stream_with_openai)]
            if arguments.once:
                return 0 if all(answers) else 1
            _say_what_next(url)
            return server.wait()
    except DemoFailed as error:
        console.print(f"[red]Error:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8000, help="where to serve; 0 takes a free one")
    parser.add_argument("--once", action="store_true", help="stop after the answers")
    return parser.parse_args()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _hfmodel_up(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`hfmodel up` on the demo's catalogue; when the block ends, so has it, with everything it started."""
    command = Path(sys.executable).with_name("hfmodel")
    server = subprocess.Popen([command, "up", CATALOG, "--port", str(port)])
    try:
        yield server
    finally:
        if server.poll() is None:
            # After Ctrl-C the terminal has told it already; a second SIGINT would cut its drain short.
            server.send_signal(signal.SIGTERM)
        server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise DemoFailed(f"hfmodel up ended with exit code {server.returncode}; its message is above")
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise DemoFailed(f"hfmodel up did not answer at {url} within {START_TIMEOUT_SECONDS:.0f} s")


def _complete(url: str) -> bool:
    body: dict[str, Any] = {"text": "The capital of France is", "max_new_tokens": 12, "do_sample": False}
    _question(f"POST /models/{MODEL}/generate", body["text"])
    answer = _post(f"{url}/models/{MODEL}/generate", body)
    return _check(answer["generated_text"][0], "Paris")


def _chat(url: str) -> bool:
    body: dict[str, Any] = {"message": "What is the capital of Japan?", "temperature": 0, "max_new_tokens": 32}
    _question(f"POST /models/{MODEL}/chat", body["message"])
    answer = _post(f"{url}/models/{MODEL}/chat", body)
    return _check(answer["response"], "Tokyo")


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    # The first request finds the model asleep: the router holds it while the model wakes.
    response = httpx.post(url, json=body, timeout=START_TIMEOUT_SECONDS)
    if not response.is_success:
        raise DemoFailed(f"{url} answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def _stream_with_openai(url: str) -> bool:
    question = "Name three colours of the rainbow."
    _question("openai client, streaming /v1/chat/completions", question)
    client = OpenAI(base_url=f"{url}/v1", api_key="not-needed", timeout=START_TIMEOUT_SECONDS)
    parts = []
    for chunk in client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=48, stream=True
    ):
        for choice in chunk.choices:
            parts.append(choice.delta.content or "")
            console.print(parts[-1], end="", style="green", markup=False)
    console.print()
    return _verdict("".join(parts), lambda text: any(colour in text.lower() for colour in ("red", "blue", "green")))


def _question(door: str, text: str) -> None:
    console.print(f"\n[bold]{door}[/]")
    console.print(f"> {text}", markup=False)


def _check(answer: str, expected: str) -> bool:
    console.print(answer.strip(), style="green", markup=False)
    return _verdict(answer, lambda text: expected in text)


def _verdict(answer: str, is_right: Callable[[str], bool]) -> bool:
    if is_right(answer):
        return True
    console.print("[red]That is not the right answer.[/]" if answer.strip() else "[red]The answer is empty.[/]")
    return False


def _say_what_next(url: str) -> None:
    console.print(f"""
[bold]Serving at {url}[/] until Ctrl-C. In another terminal:

  curl {url}/models/{MODEL}/chat -H 'Content-Type: application/json' -d '{{"message": "Tell me a joke"}}'
  .venv/bin/hfmodel chat {MODEL} --url {url}
  .venv/bin/hfmodel list --url {url}

All calls: {url}/docs. Leave it alone for a minute and the model goes to sleep; the next request wakes it.
To add a model, put a manifest into {_shown(CATALOG)} (see docs/hfmodel.md); it is served at once.
""")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
