"""The cluster that a test talks to: the one $KUBECONFIG names, or a control plane of its own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.controlplane import control_plane
from cluster.errors import ClusterError


@contextmanager
def target_cluster(environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """The kubeconfig of the cluster to test on.

    Raises:
        BinariesMissing, ClusterError: as `control_plane`, or $KUBECONFIG names no file.
    """
    named = environ.get("KUBECONFIG")
    if named:
        # Like kubectl, it may list several files.
        if not any(Path(path).is_file() for path in named.split(os.pathsep)):
            raise ClusterError(f"KUBECONFIG={named} names no file")
        yield Path(named)
        return
    with control_plane() as plane:
        yield plane.kubeconfig
