"""The server's native calls with `requests`: basic.py MODEL."""

import os
import sys
from typing import Any

import requests

URL = os.environ.get("HFMODEL_URL", "http://127.0.0.1:8000")
# The first request of a model that sleeps waits until it is loaded.
TIMEOUT_SECONDS = 600


class Client:
    """A server at `url`. Calls raise requests.HTTPError, whose text is the server's own sentence."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        if api_key:
            self._session.headers["Authorization"] = f"Bearer {api_key}"

    def health(self) -> dict[str, Any]:
        return self._call("GET", "/health")

    def models(self) -> dict[str, Any]:
        return self._call("GET", "/models")

    def info(self, model: str) -> dict[str, Any]:
        return self._call("GET", f"/models/{model}/info")

    def load(self, model: str) -> dict[str, Any]:
        return self._call("POST", f"/models/{model}/load")

    def unload(self, model: str) -> dict[str, Any]:
        return self._call("POST", f"/models/{model}/unload")

    def generate(self, model: str, text: str, **fields: Any) -> str:
        answer = self._call("POST", f"/models/{model}/generate", {"text": text, **fields})
        return str(answer["generated_text"][0])

    def chat(self, model: str, message: str, **fields: Any) -> dict[str, Any]:
        """`response`, and of conversational models `context`: send it with the next message."""
        return self._call("POST", f"/models/{model}/chat", {"message": message, **fields})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._session.request(method, self._url + path, json=body, timeout=TIMEOUT_SECONDS)
        if not response.ok:
            raise requests.HTTPError(response.json()["detail"], response=response)
        answer: dict[str, Any] = response.json()
        return answer


def main(model: str) -> None:
    client = Client(URL, os.environ.get("HFMODEL_API_KEY"))
    health = client.health()
    print(f"{health['status']}: {len(health['loaded_models'])} of {health['total_models_available']} models are loaded")
    for model_id, row in client.models().items():
        print(f"  {model_id}: {row['name']} ({row['type']}), {row['phase']}")
    print(client.load(model)["message"])
    print(f"it has {client.info(model)['memory_usage']['total_parameters']:,} parameters")
    print("generate:", client.generate(model, "The capital of France is", max_length=40, do_sample=False))
    first = client.chat(model, "What is the capital of France?", max_new_tokens=20)
    print("chat:", first["response"])
    again = client.chat(model, "And of Italy?", context=first["context"], max_new_tokens=20)
    print("chat:", again["response"])
    print(client.unload(model)["message"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: basic.py MODEL")
    try:
        main(sys.argv[1])
    except requests.RequestException as error:
        sys.exit(f"Error: {error}")
