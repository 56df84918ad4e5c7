"""What `helm test` runs: ask the router through its Service, as a caller would."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

DEADLINE = time.monotonic() + float(os.environ["CHECK_SECONDS"])


def ask(url: str) -> str:
    """The body of a 200; other answers and failures are tried again until the deadline, then end the process."""
    key = os.environ.get("API_KEYS", "").split(",")[0].strip()
    request = urllib.request.Request(url, headers={"X-API-Key": key} if key else {})  # noqa: S310 - our own Service
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own Service
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > DEADLINE:
                sys.exit(f"{url}: {error}")
        time.sleep(1)


# Variables rather than a name: there are clusters without DNS.
HOST = os.environ.get(os.environ["SERVICE_HOST_VARIABLE"]) or os.environ["SERVICE_NAME"]
URL = f"http://{f'[{HOST}]' if ':' in HOST else HOST}:{os.environ['SERVICE_PORT']}"
for path in ("/healthz", "/readyz"):
    ask(f"{URL}{path}")
    print(f"{path}: ok")
print(f"/models: {', '.join(json.loads(ask(f'{URL}/models'))) or 'none yet'}")
