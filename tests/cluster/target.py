"""The cluster that a test talks to: the one $KUBECONFIG names, or one of its own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cluster.controlplane import control_plane
from cluster.errors import ClusterError
from cluster.node import node_cluster
from cluster.session import Session


class TargetCluster(Protocol):
    """A cluster on which pods run."""

    @property
    def kubeconfig(self) -> Path: ...

    def load_image(self, archive: Path) -> tuple[str, ...]:
        """Give its node the images of an archive, if it can be told so; returns the names of what was loaded."""


@dataclass(frozen=True, slots=True)
class NamedCluster:
    """A cluster that was there before: unless `python -m cluster up` made it, it has the images or can pull them."""

    kubeconfig: Path

    def load_image(self, archive: Path) -> tuple[str, ...]:
        """The names of what was loaded."""
        session = Session.of_this_user()
        ours = session.inside is not None and session.kubeconfig.resolve() == self.kubeconfig.resolve()
        return session.load(archive) if ours else ()


@contextmanager
def target_cluster(environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """The kubeconfig of the cluster to test on; without a name, a control plane alone.

    Raises:
        BinariesMissing, ClusterError: as `control_plane`, or $KUBECONFIG names no file.
    """
    named = _named(environ)
    if named is not None:
        yield named
        return
    with control_plane() as plane:
        yield plane.kubeconfig


@contextmanager
def target_node_cluster(environ: Mapping[str, str] = os.environ) -> Iterator[TargetCluster]:
    """The cluster to run pods on.

    Raises:
        BinariesMissing, ClusterError: as `node_cluster`, or $KUBECONFIG names no file.
    """
    named = _named(environ)
    if named is not None:
        yield NamedCluster(named)
        return
    with node_cluster() as cluster:
        yield cluster


def _named(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("KUBECONFIG")
    if not named:
        return None
    # Like kubectl, it may list several files.
    if not any(Path(path).is_file() for path in named.split(os.pathsep)):
        raise ClusterError(f"KUBECONFIG={named} names no file")
    return Path(named)
