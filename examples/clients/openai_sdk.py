"""OpenAI's own client: openai_sdk.py MODEL."""

import os
import sys

import openai

URL = os.environ.get("HFMODEL_URL", "http://127.0.0.1:8000")
QUESTION = "What is the capital of France?"


def main(model: str) -> None:
    # The client wants a key, whether or not the server does.
    key = os.environ.get("HFMODEL_API_KEY", "not-needed")
    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=key, timeout=600)
    print("models:", ", ".join(listed.id for listed in client.models.list()))

    chat = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=20, temperature=0
    )
    print("chat:", chat.choices[0].message.content)

    print("streaming: ", end="")
    for chunk in client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=20, temperature=0, stream=True
    ):
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
    print()

    completion = client.completions.create(model=model, prompt="The capital of France is", max_tokens=5, temperature=0)
    print("completion:", completion.choices[0].text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: openai_sdk.py MODEL")
    try:
        main(sys.argv[1])
    except openai.OpenAIError as error:
        sys.exit(f"Error: {error}")
