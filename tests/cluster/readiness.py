"""Asks an API server whether it is ready."""

import ssl
import urllib.error
import urllib.request
from typing import Final

from cluster.certs import Certificate

_ANSWER_SECONDS: Final = 5.0


class Readiness:
    """The question to the server at `url`, asked as `user` and trusting `authority`."""

    def __init__(self, url: str, *, authority: Certificate, user: Certificate) -> None:
        self._url = f"{url}/readyz?verbose"
        self._context = ssl.create_default_context(cafile=str(authority.certificate))
        self._context.load_cert_chain(user.certificate, user.key)

    def missing(self) -> str | None:
        """What is not ready yet, for a person; None when all is."""
        # Straight to the server, whatever proxy the environment names.
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        try:
            with urllib.request.build_opener(*handlers).open(self._url, timeout=_ANSWER_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            with error:
                lines = error.read().decode(errors="replace").splitlines()
            return "; ".join(line for line in lines if line.startswith("[-]")) or str(error)
        except OSError as error:
            return str(error)
