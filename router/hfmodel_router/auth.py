"""Who may call: `Authorization: Bearer <key>` or `X-API-Key: <key>`, never a key in a URL."""

import hmac
from collections.abc import Mapping

from hfmodel_api.errors import Unauthorized

# What a load balancer, a kubelet, a scraper or a person with a browser reads without a key; none of it names a secret.
DOCS_ASSETS = "/docs-assets"  # scripts and styles of the two pages
OPEN_PATHS = frozenset({"/", "/health", "/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json"})


class Keys:
    """The accepted keys. With none, everybody may call."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = tuple(key.encode() for key in keys)

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Raises Unauthorized unless `path` is open or the headers carry an accepted key."""
        if not self._keys or path in OPEN_PATHS or path.startswith(f"{DOCS_ASSETS}/"):
            return
        given = _given(headers)
        if given is None:
            raise Unauthorized("an API key is required: send it as Authorization: Bearer <key> or X-API-Key: <key>")
        # Every key is compared, each in constant time: the time taken says nothing about any of them.
        if not any([hmac.compare_digest(given, key) for key in self._keys]):  # noqa: C419
            raise Unauthorized("the API key is not accepted")


def _given(headers: Mapping[bytes, bytes]) -> bytes | None:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and key.strip():
        return key.strip()
    return headers.get(b"x-api-key")
