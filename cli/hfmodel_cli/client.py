"""Talks to a server (the router, or `hfmodel up`) over REST."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from hfmodel_api.names import HEADER_HOLD_TIMEOUT
from hfmodel_cli.errors import Refused, Unreachable
from hfmodel_cli.events import events
from hfmodel_cli.text import one_line

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0  # for calls that wait for no model
_MODEL_SECONDS = 600.0  # without a sign of life, for calls that may wake a model and wait for its answer


@dataclass(frozen=True, slots=True)
class Row:
    """What a server says of one model."""

    id: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        return "" if value is None else str(value)

    @property
    def loaded(self) -> bool:
        return bool(self.fields.get("loaded"))

    @property
    def wake_seconds(self) -> float | None:
        """How long a wake takes, as measured."""
        eta = self.fields.get("eta_seconds")
        return float(eta) if isinstance(eta, int | float) and eta > 0 else None


class Server:
    """A server at an address; close it, or use it in a `with`.

    Every call raises Unreachable if nobody answers there, and Refused if the answer is no.
    """

    def __init__(self, url: str, *, api_key: str | None = None, hold_timeout: float | None = None) -> None:
        """`hold_timeout`: how long a call may be held for a model that sleeps, in seconds; None is the server's own."""
        self.url = url.rstrip("/")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        if hold_timeout is not None:
            headers[HEADER_HOLD_TIMEOUT] = f"{hold_timeout:g}"
        self._model_seconds = _MODEL_SECONDS + (hold_timeout or 0.0)
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            # A proxy for the Internet is not the way to this machine.
            trust_env=not _is_local(httpx.URL(self.url).host),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def models(self) -> tuple[Row, ...]:
        return tuple(Row(model_id, fields) for model_id, fields in self._call("GET", "/models").items())

    def model(self, model_id: str) -> Row:
        return Row(model_id, self._call("GET", f"{_path(model_id)}/info"))

    def load(self, model_id: str, *, wait: bool) -> dict[str, Any]:
        query = "" if wait else "?wait=false"
        return self._call("POST", f"{_path(model_id)}/load{query}", timeout=self._model_seconds)

    def unload(self, model_id: str) -> dict[str, Any]:
        return self._call("POST", f"{_path(model_id)}/unload", timeout=self._model_seconds)

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One of OpenAI's calls, with its whole answer."""
        return self._call("POST", path, json=body, timeout=self._model_seconds)

    def stream(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """One of OpenAI's calls, event by event. Close it to stop the answer."""
        streaming = {**body, "stream": True}
        with (
            self._transport_errors(),
            self._http.stream("POST", path, json=streaming, timeout=self._timeout(self._model_seconds)) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise _refusal(answer)
            yield from events(answer.iter_bytes())

    def _call(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, timeout: float = _ANSWER_SECONDS
    ) -> dict[str, Any]:
        with self._transport_errors():
            answer = self._http.request(method, path, json=json, timeout=self._timeout(timeout))
        if answer.is_error:
            raise _refusal(answer)
        body = _json(answer)
        if not answer.is_success or not isinstance(body, dict):
            raise Refused(f"{self.url} does not answer like an hfmodel server: is the address right?")
        return body

    def _timeout(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=_CONNECT_SECONDS)

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            hint = "start one with `hfmodel up`, or say where it is with --url (or HFMODEL_URL)"
            raise Unreachable(f"no server answers at {self.url}: {hint}") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"the server at {self.url} did not answer in time") from error
        except httpx.TransportError as error:
            raise Unreachable(f"the server at {self.url} broke off the connection") from error


def _path(model_id: str) -> str:
    return f"/models/{quote(model_id, safe='')}"


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(answer: httpx.Response) -> Refused:
    message = _message(_json(answer)) or f"the server answered {answer.status_code} {answer.reason_phrase}"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        message += " (give the key with --api-key or HFMODEL_API_KEY)"
    retry_after = answer.headers.get("retry-after", "")
    if retry_after.isdecimal():
        message += f" (try again in {retry_after} s)"
    return Refused(message)


def _message(body: Any) -> str:
    """The sentence of an error, in the old server's shape or in OpenAI's."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else body.get("detail")
    return one_line(message) if isinstance(message, str) else ""


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
