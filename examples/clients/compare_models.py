"""Several models or prompts at once: compare_models.py compare PROMPT MODEL..., or batch MODEL PROMPT...

The server batches what arrives together, so asking at once is faster than one after the other.
"""

import asyncio
import os
import sys
import time
from dataclasses import dataclass

import httpx

URL = os.environ.get("HFMODEL_URL", "http://127.0.0.1:8000")
# The first request of a model that sleeps waits until it is loaded.
TIMEOUT_SECONDS = 600
MOST_AT_ONCE = 64


@dataclass(frozen=True)
class Answer:
    model: str
    prompt: str
    text: str
    seconds: float


async def compare(client: httpx.AsyncClient, prompt: str, models: list[str]) -> list[Answer]:
    """One prompt, by several models."""
    return await asyncio.gather(*(ask(client, model, prompt) for model in models))


async def batch(client: httpx.AsyncClient, model: str, prompts: list[str]) -> list[Answer]:
    """Several prompts, by one model."""
    return await asyncio.gather(*(ask(client, model, prompt) for prompt in prompts))


async def ask(client: httpx.AsyncClient, model: str, prompt: str) -> Answer:
    """An answer, or the server's own sentence why there is none: one model that fails spoils no other's answer."""
    started = time.perf_counter()
    body = {"text": prompt, "max_new_tokens": 20, "do_sample": False}
    response = await client.post(f"/models/{model}/generate", json=body)
    answer = response.json()
    text = answer["generated_text"][0] if response.is_success else f"Error: {answer['detail']}"
    return Answer(model, prompt, text, time.perf_counter() - started)


async def main(what: str, *rest: str) -> None:
    key = os.environ.get("HFMODEL_API_KEY")
    async with httpx.AsyncClient(
        base_url=URL,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=MOST_AT_ONCE),
    ) as client:
        first, others = rest[0], list(rest[1:])
        answers = await (compare(client, first, others) if what == "compare" else batch(client, first, others))
    for answer in answers:
        print(f"{answer.model} ({answer.seconds:.1f} s): {answer.text!r}")


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("compare", "batch"):
        sys.exit("usage: compare_models.py compare PROMPT MODEL..., or compare_models.py batch MODEL PROMPT...")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except httpx.HTTPError as error:
        sys.exit(f"Error: {error} ({URL})")
