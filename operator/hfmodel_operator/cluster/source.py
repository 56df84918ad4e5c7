"""What has to be fetched for a model, and what came of it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from hfmodel_api.spec import HFModel

CACHE_MOUNT: Final = "/cache"
SOURCE_MOUNT: Final = "/source"
_KEY_LENGTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Models whose sources are equal have the same weights."""

    model: str
    revision: str
    endpoint: str | None = None
    claim: str | None = None  # the volume that has it already; then model and revision only name it
    path: str | None = None  # on that volume
    allow_pickle: bool = False
    trust_remote_code: bool = False

    @property
    def key(self) -> str:
        """Short enough for a label."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:_KEY_LENGTH]

    def arguments(self) -> list[str]:
        """For `hfmodel-runtime fetch`."""
        if self.path is not None:
            arguments = ["--path", f"{SOURCE_MOUNT}/{self.path.lstrip('/')}"]
        else:
            arguments = ["--model", self.model, "--revision", self.revision]
        if self.endpoint:
            arguments += ["--endpoint", self.endpoint]
        if self.allow_pickle:
            arguments.append("--allow-pickle")
        if self.trust_remote_code:
            arguments.append("--trust-remote-code")
        return ["--cache-dir", CACHE_MOUNT, *arguments]


def source_of(model: HFModel) -> Source:
    spec = model.spec
    pvc = spec.source.pvc
    return Source(
        model=spec.model,
        revision=spec.revision,
        endpoint=spec.source.hub.endpoint if spec.source.hub else None,
        claim=pvc.claim_name if pvc else None,
        path=pvc.path if pvc else None,
        allow_pickle=spec.allow_pickle,
        trust_remote_code=spec.trust_remote_code,
    )


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete model directory, as the containers see it."""

    path: str
    revision: str | None = None  # the commit, if it came from the Hub
    bytes: int = 0


_FETCHED = TypeAdapter(Fetched)


def parse_fetched(message: str) -> Fetched | None:
    """What a fetch that succeeded left as its last line; None if that is not what it says."""
    lines = message.strip().splitlines()
    try:
        return _FETCHED.validate_json(lines[-1]) if lines else None
    except ValidationError:
        return None
