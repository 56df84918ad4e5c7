"""What the models and pods of this installation need in the cache, from what there is. Pure."""

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from hfmodel_api.names import LABEL_MODEL
from hfmodel_api.patterns import REPO_ID
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.containers import CACHE_MOUNT, LINK, SOURCE_MOUNT
from hfmodel_operator.cluster.failures import said
from hfmodel_operator.cluster.labels import CONTAINER_FETCH, CONTAINER_SERVE
from hfmodel_operator.cluster.objects import labels_of
from hfmodel_operator.cluster.parsed import Parsed
from hfmodel_operator.keep import Needed
from hfmodel_operator.source import Fetched, Source, parse_fetched, source_of

_MODEL_DIR: Final = "--model-dir="


def needed_by_model(parsed: Parsed, written: Json, fetched: Fetched | None, *, cache_claim: str) -> Iterator[Needed]:
    """What one HFModel needs.

    Args:
        written: the HFModel as it was written; what the schema refuses still has its weights.
        fetched: where it is in the cache, if that is known.
    """
    if parsed.problem is not None:
        yield from _of_invalid(written.get("spec") or {})
    else:
        yield _of_model(source_of(parsed.model), fetched, cache_claim)


def needed_by_pods(pods: Iterable[Json], *, cache_claim: str) -> Iterator[Needed]:
    """What every pod needs that serves or will, also of a model that is being deleted."""
    for pod in pods:
        if LABEL_MODEL in labels_of(pod):
            yield from _of_pod(pod, cache_claim)


def _of_model(source: Source, fetched: Fetched | None, cache_claim: str) -> Needed:
    if source.path is None:
        return Needed(source, fetched.path if fetched else None)
    # Its name in the cache is that of the path as the fetch sees it.
    path = f"{SOURCE_MOUNT}/{source.path.lstrip('/')}"
    if source.claim == cache_claim:
        return Needed(source, _by_the_caches_mount(path))
    return Needed(replace(source, path=path), fetched.path if fetched else None)


def _by_the_caches_mount(path: str) -> str:
    """A path on a claim that is the cache itself: what is served there may be a model of the cache."""
    return posixpath.normpath(path.replace(SOURCE_MOUNT, CACHE_MOUNT, 1))


def _of_invalid(spec: Json) -> Iterator[Needed]:
    repo = spec.get("model")
    if isinstance(repo, str) and re.fullmatch(REPO_ID, repo):
        yield Needed(Source(model=repo))


def _of_pod(pod: Json, cache_claim: str) -> Iterator[Needed]:
    """By the arguments it was made with, which a change of its model's spec does not touch."""
    options = _arguments(pod, "initContainers", CONTAINER_FETCH)
    source = Source(
        model=_option(options, "--model") or "",
        revision=_option(options, "--revision") or "main",
        path=_option(options, "--path"),
    )
    path = _served(pod)
    if path is None and not source.model and source.path is None:
        return
    if path is not None and path.startswith(f"{SOURCE_MOUNT}/") and _claim(pod, "source") == cache_claim:
        path = _by_the_caches_mount(path)
    yield Needed(source, path)


def _served(pod: Json) -> str | None:
    """The model directory; None while the pod's own fetch has not said it."""
    arguments = _arguments(pod, "containers", CONTAINER_SERVE)
    path = next((text.removeprefix(_MODEL_DIR) for text in arguments if text.startswith(_MODEL_DIR)), LINK)
    if path != LINK:
        return path
    fetched = parse_fetched(said(pod, CONTAINER_FETCH))
    return fetched.path if fetched else None


def _claim(pod: Json, volume: str) -> str | None:
    found = (each for each in pod["spec"].get("volumes") or () if each["name"] == volume)
    return next((each.get("persistentVolumeClaim", {}).get("claimName") for each in found), None)


def _arguments(pod: Json, kind: str, name: str) -> list[str]:
    containers = pod["spec"].get(kind) or ()
    return next((found.get("args") or [] for found in containers if found["name"] == name), [])


def _option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None
