"""Where Kubernetes' binaries lie: $KUBEBUILDER_ASSETS, then PATH, then the cache that the build fills."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from cluster.errors import ClusterError

KUBERNETES_VERSION: Final = "v1.20.2"  # what the build makes; other versions come by ASSETS_VARIABLE
ASSETS_VARIABLE: Final = "KUBEBUILDER_ASSETS"
CACHE_VARIABLE: Final = "HFMODEL_TEST_CACHE"
# What setup-envtest puts into the folder: whoever names one wants these from there and from nowhere else.
_ASSETS: Final = ("etcd", "kube-apiserver", "kubectl")


class BinariesMissing(ClusterError):
    """A binary that nobody built or named yet."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of built binaries; outside the repository, so that it outlives a checkout."""
    root = environ.get(CACHE_VARIABLE)
    base = Path(root) if root else Path.home() / ".cache" / "hfmodel"
    return base / "kubernetes" / KUBERNETES_VERSION


def find(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The binary `name`.

    Raises:
        BinariesMissing: it is in none of the places; the message says what to do.
    """
    assets = environ.get(ASSETS_VARIABLE)
    if assets and name in _ASSETS:
        return _find_asset(name, folder=assets)
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    if found:
        return Path(found)
    cached = cache_folder(environ) / name
    if cached.exists():
        return cached
    raise BinariesMissing(
        f"{name} is neither in ${ASSETS_VARIABLE}, nor on PATH, nor in {cached.parent}: `make cluster-build` "
        "compiles it once, or set the variable to a folder that setup-envtest made"
    )


def find_together(names: Iterable[str], environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """The binaries `names`, by name, all from $KUBEBUILDER_ASSETS or all from the cache: versions never mix.

    Raises:
        BinariesMissing: the place lacks some of them; the message says what to do.
    """
    assets = environ.get(ASSETS_VARIABLE)
    folder = Path(assets) if assets else cache_folder(environ)
    found = {name: folder / name for name in names}
    missing = [name for name, path in found.items() if not os.access(path, os.X_OK)]
    if missing and assets:
        instead = f"add them, or unset it and run `make cluster-build`, which compiles {KUBERNETES_VERSION}"
        raise BinariesMissing(f"{ASSETS_VARIABLE}={assets} lacks {', '.join(missing)}: {instead}")
    if missing:
        raise BinariesMissing(f"{folder} lacks {', '.join(missing)}: `make cluster-build` compiles them once")
    return found


def _find_asset(name: str, *, folder: str) -> Path:
    found = shutil.which(name, path=folder)
    if found is None:
        raise BinariesMissing(f"{ASSETS_VARIABLE}={folder} holds no program {name}")
    return Path(found)
