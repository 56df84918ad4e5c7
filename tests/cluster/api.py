"""The few questions that the rig itself asks an API server."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cluster.certs import Certificate
from cluster.errors import ClusterError

_ANSWER_SECONDS: Final = 5.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says to a request, with any status."""

    status: int
    text: str

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Json:
        """The object in it; an empty one if there is none."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Api:
    """The server at `url`, asked as `user` and trusting `authority`."""

    def __init__(self, url: str, *, authority: Certificate, user: Certificate) -> None:
        self._url = url
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.load_cert_chain(user.certificate, user.key)
        # Straight to the server, whatever proxy the environment names.
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """GET `path`, or POST `body` to it.

        Raises:
            OSError: nobody answers.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as response:
                return Answer(response.status, response.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(errors="replace"))

    def create(self, path: str, manifest: Mapping[str, object]) -> None:
        """POST `manifest` to `path`.

        Raises:
            ClusterError: the server refuses it or does not answer.
        """
        try:
            answer = self.ask(path, manifest)
        except OSError as error:
            raise ClusterError(f"the API does not answer: {error}") from error
        if not answer.good:
            raise ClusterError(f"the API refuses a new object at {path}: {answer.text.strip()}")
