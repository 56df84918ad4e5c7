"""A certificate authority of one test cluster, by openssl: who may speak, and as whom."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cluster.commands import tool
from cluster.errors import ClusterError

_DAYS: Final = "30"
# Our own, so that no setting of the machine's openssl.cnf changes what comes out.
_CONFIG: Final = """\
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues certificates below `folder`."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make the folder, readable by the owner alone, and the authority's own certificate in it."""
        folder.mkdir(mode=0o700)
        authority = cls(folder)
        authority._config.write_text(_CONFIG)
        authority._request(authority.own, "/CN=hfmodel-test", "-extensions", "ca")
        return authority

    @property
    def own(self) -> Certificate:
        return self._files("ca")

    def issue(self, name: str, *, user: str, group: str = "", hosts: Sequence[str] = ()) -> Certificate:
        """A certificate for a server, a client, or both.

        Args:
            name: of the files.
            user: the common name; Kubernetes takes it for the user's name.
            group: the organisation; Kubernetes takes it for a group of the user.
            hosts: subject alternative names, as openssl writes them ("IP:127.0.0.1", "DNS:localhost").
        """
        issued = self._files(name)
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        arguments = ["-extensions", "leaf", "-CA", str(self.own.certificate), "-CAkey", str(self.own.key)]
        if hosts:
            arguments += ["-addext", f"subjectAltName={','.join(hosts)}"]
        self._request(issued, subject, *arguments)
        return issued

    def rsa_key(self, name: str) -> Path:
        """A private RSA key; kube-apiserver signs service account tokens with it."""
        key = self._files(name).key
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key))
        return key

    @property
    def _config(self) -> Path:
        return self.folder / "openssl.cnf"

    def _files(self, name: str) -> Certificate:
        return Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _request(self, files: Certificate, subject: str, *arguments: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(files.key)]
        out = ["-x509", "-days", _DAYS, "-subj", subject, "-out", str(files.certificate)]
        _openssl("req", "-config", str(self._config), *key, *out, *arguments)


def _openssl(*arguments: str) -> None:
    try:
        subprocess.run(
            [tool("openssl", package="openssl"), *arguments], check=True, capture_output=True, text=True, timeout=60
        )
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"openssl {arguments[0]} failed: {error.stderr.strip()}") from error
