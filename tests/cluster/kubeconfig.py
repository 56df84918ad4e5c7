"""The file that kubectl and every client read to reach a cluster."""

import base64
from pathlib import Path

import yaml

from cluster.certs import Certificate

_NAME = "hfmodel-test"


def write_kubeconfig(path: Path, *, url: str, authority: Certificate, user: Certificate) -> None:
    """Write a kubeconfig that needs no other file, readable by the owner alone."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "clusters": [
            {
                "name": _NAME,
                "cluster": {"server": url, "certificate-authority-data": _encoded(authority.certificate)},
            }
        ],
        "users": [
            {
                "name": _NAME,
                "user": {
                    "client-certificate-data": _encoded(user.certificate),
                    "client-key-data": _encoded(user.key),
                },
            }
        ],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
