"""What has to be fetched for a model, on a cluster and on one machine alike, and what came of it. Pure."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final

from pydantic import TypeAdapter, ValidationError

from hfmodel_api.spec import HFModel

_KEY_LENGTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Models whose sources are equal have the same weights, and share one fetch."""

    model: str
    revision: str = "main"
    endpoint: str | None = None
    claim: str | None = None  # the volume that has it already
    path: str | None = None  # on that volume, or of this machine; then model and revision only name it
    allow_pickle: bool = False
    trust_remote_code: bool = False

    @property
    def key(self) -> str:
        """Short enough for a label."""
        return _key(self)

    def arguments(self, *, cache_dir: str, mount: str = "") -> list[str]:
        """For `hfmodel-runtime fetch`. `mount`: where the volume of the path is, if it is on one."""
        if self.path is not None:
            arguments = ["--path", f"{mount}/{self.path.lstrip('/')}" if mount else self.path]
        else:
            arguments = ["--model", self.model, "--revision", self.revision]
        if self.endpoint:
            arguments += ["--endpoint", self.endpoint]
        if self.allow_pickle:
            arguments.append("--allow-pickle")
        if self.trust_remote_code:
            arguments.append("--trust-remote-code")
        return ["--cache-dir", cache_dir, *arguments]


@lru_cache(maxsize=4096)  # asked for in every look at a model that is awake
def _key(source: Source) -> str:
    return hashlib.sha256(json.dumps(asdict(source), sort_keys=True).encode()).hexdigest()[:_KEY_LENGTH]


def source_of(model: HFModel) -> Source:
    """On one machine, a path is absolute already: the catalogue saw to it."""
    spec = model.spec
    pvc = spec.source.pvc
    return Source(
        model=spec.model,
        revision=spec.revision,
        endpoint=spec.source.hub.endpoint if spec.source.hub else None,
        claim=pvc.claim_name if pvc else None,
        path=pvc.path if pvc else spec.source.path,
        allow_pickle=spec.allow_pickle,
        trust_remote_code=spec.trust_remote_code,
    )


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete model directory, as those who serve it see it."""

    path: str
    revision: str | None = None  # the commit, if it came from the Hub
    bytes: int = 0


FETCHED: Final = TypeAdapter(Fetched)


def parse_fetched(message: str) -> Fetched | None:
    """What a fetch that succeeded left as its last line; None if that is not what it says."""
    lines = message.strip().splitlines()
    try:
        return FETCHED.validate_json(lines[-1]) if lines else None
    except ValidationError:
        return None
