"""The catalogue of local mode: manifests on disk, followed as they change.

A file with an error takes nothing away: what it said while it was whole stays until it is whole again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from watchfiles import Change, awatch

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.manifests import LoadedManifests, load_manifests
from hfmodel_api.models_yaml import OldSettings
from hfmodel_api.spec import HFModel

logger = logging.getLogger(__name__)

# An editor may empty a file before it writes it: what vanishes is looked for once more.
_SECOND_LOOK_SECONDS = 0.3
_RESYNC_MILLISECONDS = 30_000  # for file systems that do not tell
_DEBOUNCE_MILLISECONDS = 200
_STEP_MILLISECONDS = 50
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the command line says for models that do not say it themselves."""

    idle_timeout: timedelta | None = None
    prefetch: bool = True

    def apply_to(self, model: HFModel, origin: Path) -> HFModel:
        """`model` as local mode runs it; its source.path, if any, made absolute."""
        spec = model.spec
        changes: dict[str, object] = {}
        if spec.source.path is not None:
            path = (origin.parent / Path(spec.source.path).expanduser()).resolve()
            changes["source"] = spec.source.model_copy(update={"path": str(path)})
        if self.idle_timeout is not None and "idle_timeout" not in spec.scaling.model_fields_set:
            changes["scaling"] = spec.scaling.model_copy(update={"idle_timeout": self.idle_timeout})
        if not self.prefetch:
            changes["cache"] = spec.cache.model_copy(update={"prefetch": False})
        return model.model_copy(update={"spec": spec.model_copy(update=changes)}) if changes else model


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the catalogue holds, the good of now and the still good of before."""

    models: Mapping[str, HFModel] = field(default_factory=dict)  # in the order of the files
    origins: Mapping[str, Path] = field(default_factory=dict)
    errors: tuple[InvalidManifest, ...] = ()
    settings: OldSettings | None = None
    notes: tuple[str, ...] = ()


def merge(before: Snapshot, loaded: LoadedManifests, defaults: Defaults) -> Snapshot:
    """What holds after `loaded` was read, given what held before."""
    models = {model.id: defaults.apply_to(model, loaded.origins[model.id]) for model in loaded.models}
    origins = dict(loaded.origins)
    for model_id, origin in before.origins.items():
        if model_id not in models and any(_is_in(error, origin) for error in loaded.errors):
            models[model_id], origins[model_id] = before.models[model_id], origin
    return Snapshot(models=models, origins=origins, errors=loaded.errors, settings=loaded.settings, notes=loaded.notes)


def _is_in(error: InvalidManifest, file: Path) -> bool:
    rest = error.origin.removeprefix(str(file))
    # "models/a.yaml", "models/a.yaml:12" or "models/a.yaml (item 2)"; or all of the folder cannot be read.
    return rest != error.origin and rest[:1] in ("", ":", " ")


class Catalog:
    """Follows a file or folder.

    Args:
        applied: called with each new snapshot that differs from the last.
        reported: called once with each error, and again only after it was gone.
    """

    def __init__(
        self,
        path: Path,
        *,
        defaults: Defaults,
        applied: Callable[[Snapshot], None],
        reported: Callable[[InvalidManifest], None],
    ) -> None:
        self.path = path
        self._defaults = defaults
        self._applied = applied
        self._reported = reported
        self._known_errors: frozenset[str] = frozenset()
        self._reading = asyncio.Lock()
        self.snapshot = Snapshot()

    async def reload(self) -> None:
        """Read everything again and tell what is new."""
        async with self._reading:
            snapshot = await self._read()
            if self.snapshot.models.keys() - snapshot.models.keys():
                await asyncio.sleep(_SECOND_LOOK_SECONDS)
                snapshot = await self._read()
            self._report(snapshot)
            before, self.snapshot = self.snapshot, snapshot
            if list(before.models.items()) != list(snapshot.models.items()):
                self._applied(snapshot)

    async def watch(self) -> None:
        """Reload at every change on disk, until cancelled."""
        while True:
            try:
                async for _ in self._changes():
                    await self.reload()
            except FileNotFoundError:
                logger.debug("event=watch_lost path=%s", self.path)
            except Exception:  # such as too many watches: go on without, and try again
                logger.exception("event=watch_failed path=%s", self.path)
            await asyncio.sleep(_RETRY_SECONDS)
            await self.reload()

    async def _read(self) -> Snapshot:
        loaded = await asyncio.to_thread(load_manifests, self.path)
        if not self.path.exists():
            # Being replaced, or unmounted: that is no reason to take every model away.
            return Snapshot(
                models=self.snapshot.models,
                origins=self.snapshot.origins,
                errors=loaded.errors,
                settings=self.snapshot.settings,
            )
        return merge(self.snapshot, loaded, self._defaults)

    def _report(self, snapshot: Snapshot) -> None:
        errors = {str(error): error for error in snapshot.errors}
        for text, error in errors.items():
            if text not in self._known_errors:
                self._reported(error)
        self._known_errors = frozenset(errors)

    async def _changes(self) -> AsyncIterator[object]:
        """Ends when another folder lies at the path: a watch stays with the one that it was opened on."""
        # A file is watched by its folder: editors replace it, and a watch would go with the old one.
        is_folder = self.path.is_dir()
        watched = self.path if is_folder else self.path.parent
        identity = _identity(watched)
        changes = awatch(
            watched,
            watch_filter=lambda _, path: _may_matter(path) or path == str(watched),
            recursive=is_folder,
            debounce=_DEBOUNCE_MILLISECONDS,
            step=_STEP_MILLISECONDS,
            rust_timeout=_RESYNC_MILLISECONDS,
            yield_on_timeout=True,
        )
        async with aclosing(changes):
            async for found in changes:
                yield found
                # A new folder may get the number of the old one, so its end counts too.
                if (Change.deleted, str(watched)) in found or _identity(watched) != identity:
                    return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _may_matter(path: str) -> bool:
    """Not the weights that are written beside the manifests; a folder or a link has no suffix."""
    return Path(path).suffix in (".yaml", ".yml", ".json", "")
