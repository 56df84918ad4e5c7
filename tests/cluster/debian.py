"""Packages and sources of Debian, read by its own apt and dpkg, into a folder of our own.

No root, nothing installed, no service started: apt works on a private sources list, a private index and a private
cache, and `dpkg -x` only unpacks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.commands import Runner
from cluster.errors import ClusterError

_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TARGET_FORMAT: Final = "$(ORIGIN)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)"
_INSTEAD: Final = "set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl (setup-envtest makes one)"


@dataclass(frozen=True, slots=True)
class Debian:
    """apt with its state below `root`.

    Args:
        root: a folder that may be deleted afterwards.
        release: the release's codename; the machine's own apt must know a mirror of it.
        run: starts commands.
    """

    root: Path
    release: str
    run: Runner

    def update(self) -> None:
        """Fetch the release's index.

        Raises:
            ClusterError: no apt here, or it knows no mirror of that release.
        """
        for folder in ("lists/partial", "cache/archives/partial", "packages"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        mirror = self._mirror()
        signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
        lines = [f"{kind} {signed}{mirror} {self.release} main\n" for kind in ("deb", "deb-src")]
        (self.root / "sources.list").write_text("".join(lines))
        self._apt("update")

    def unpack_packages(self, *names: str) -> Path:
        """Unpack binary packages over each other; returns the folder that stands for `/`."""
        packages = self.root / "packages"
        self._apt("download", *names, cwd=packages)
        root = self.root / "root"
        for name in names:
            for package in packages.glob(f"{name}_*.deb"):
                self.run(["dpkg", "-x", str(package), str(root)])
        return root

    def unpack_source(self, name: str, *, version: str, into: Path) -> None:
        """Unpack the upstream sources of `name`, without their top folder.

        Raises:
            ClusterError: the release has another upstream version than `version`.
        """
        sources = self.root / "sources"
        sources.mkdir(exist_ok=True)
        self._apt("source", "--download-only", name, cwd=sources)
        tarballs = list(sources.glob(f"{name}_*{version}.orig.tar.*"))
        if len(tarballs) != 1:
            raise ClusterError(f"Debian {self.release} has no {name} {version} any more: {_INSTEAD}")
        into.mkdir(parents=True, exist_ok=True)
        self.run(["tar", "-xf", str(tarballs[0]), "-C", str(into), "--strip-components=1"])

    def _mirror(self) -> str:
        # Before the machine's first `apt-get update`, its mirrors are known only without their release files.
        for flags in ((), ("--no-release-info",)):
            targets = self.run(["apt-get", "indextargets", *flags, "--format", _TARGET_FORMAT]).splitlines()
            for uri in filter(None, map(self._debian_uri, targets)):
                return uri
        raise ClusterError(f"this machine's apt knows no mirror of Debian {self.release}: {_INSTEAD}")

    def _debian_uri(self, target: str) -> str | None:
        """The address that a line of `_TARGET_FORMAT` names, if it is Debian's own and of our release."""
        origin, codename, suite, component, uri = target.split("|", maxsplit=4)
        known = (origin, codename) == ("Debian", self.release)
        likely = origin.startswith("$") and suite == self.release and uri.rstrip("/").endswith("/debian")
        return uri if component == "main" and (known or likely) else None

    def _apt(self, *arguments: str, cwd: Path | None = None) -> None:
        options = {
            "Dir::Etc::sourcelist": self.root / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": self.root / "lists",
            "Dir::Cache": self.root / "cache",
            "APT::Sandbox::User": "root",  # the _apt user cannot write below a home folder
            "Acquire::Retries": "3",
        }
        flags = [item for key, value in options.items() for item in ("-o", f"{key}={value}")]
        self.run(["apt-get", "--quiet", *flags, *arguments], cwd=cwd)
