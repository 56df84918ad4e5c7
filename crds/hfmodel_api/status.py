"""Phases, condition types and reasons of an HFModel, and the status as a typed value."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Phase(StrEnum):
    """Where a model stands, in one word; the `Phase` column of `kubectl get hfm` and `hfmodel list`."""

    PENDING = "Pending"  # accepted, nothing decided yet
    FETCHING = "Fetching"  # weights are on their way, nobody waits for them (prefetch)
    ASLEEP = "Asleep"  # no pod; the next request wakes it
    STARTING = "Starting"  # a pod was asked for and is not ready yet
    READY = "Ready"  # at least one pod answers
    RETIRING = "Retiring"  # the last pod is going
    FAILED = "Failed"  # it cannot start; the Ready condition says why


class ConditionType(StrEnum):
    """Condition types; Reconciling and Stalled follow kstatus, so `kubectl wait`, Flux and Argo CD understand them."""

    ACCEPTED = "Accepted"
    CACHED = "Cached"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Why a condition is as it is. Machine-readable; the message beside it is for a person to act on."""

    # Normal life.
    ACCEPTED = "Accepted"
    READY = "Ready"
    ASLEEP = "Asleep"
    STARTING = "Starting"
    FETCHING = "Fetching"
    CACHED = "Cached"
    NOT_CACHED = "NotCached"
    RETIRING = "Retiring"
    POOL_FULL = "PoolFull"  # maxLoadedModels reached and nobody idle: waits for its turn
    # What keeps a model from starting.
    INVALID_SPEC = "InvalidSpec"
    SOURCE_NOT_SUPPORTED = "SourceNotSupported"
    SECRET_MISSING = "SecretMissing"
    PROFILE_UNKNOWN = "ProfileUnknown"
    VOLUME_NOT_BOUND = "VolumeNotBound"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    OUT_OF_MEMORY = "OutOfMemory"
    START_TIMEOUT = "StartTimeout"
    # What fetching can meet.
    GATED_NO_TOKEN = "GatedNoToken"
    GATED_NO_ACCESS = "GatedNoAccess"
    TOKEN_INVALID = "TokenInvalid"
    REPO_NOT_FOUND = "RepoNotFound"
    REVISION_NOT_FOUND = "RevisionNotFound"
    PATH_NOT_FOUND = "PathNotFound"
    NO_USABLE_WEIGHTS = "NoUsableWeights"
    REMOTE_CODE_REQUIRED = "RemoteCodeRequired"
    NO_SPACE = "NoSpace"
    CACHE_NOT_WRITABLE = "CacheNotWritable"
    HUB_UNREACHABLE = "HubUnreachable"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    # What loading can meet.
    CONFIG_INVALID = "ConfigInvalid"
    WEIGHTS_INVALID = "WeightsInvalid"
    ARCHITECTURE_NOT_SUPPORTED = "ArchitectureNotSupported"
    DEVICE_NOT_AVAILABLE = "DeviceNotAvailable"


class _Status(BaseModel):
    # Unknown fields are kept out silently: a status may have been written by a newer version.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Condition(_Status):
    """A Kubernetes condition."""

    type: ConditionType
    status: str  # "True", "False", "Unknown"
    reason: str
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


class CacheStatus(_Status):
    """Download progress in bytes; equal when all is there."""

    bytes: int = 0
    total_bytes: int | None = None
    bytes_per_second: float | None = None  # of the last seconds; None: none runs, or too early to tell
    seconds_left: float | None = None  # at that speed


class LastStart(_Status):
    """How the model came up the last time."""

    at: datetime  # when the pod was created
    stages: dict[str, float]  # seconds that each took, in order; the names are those of `wire.Stage`


class Demand(_Status):
    """What callers want: the later of the two times wins. Written by the router, read by the operator."""

    wanted_at: datetime | None = None
    released_at: datetime | None = None


def _known_phase(value: Any) -> Any:
    return Phase.PENDING if isinstance(value, str) and value not in set(Phase) else value


def _known_conditions(value: Any) -> Any:
    known = set(ConditionType)
    if not isinstance(value, list):
        return value
    return [each for each in value if not isinstance(each, Mapping) or each.get("type") in known]


class HFModelStatus(_Status):
    """`status` of an HFModel. Words of a newer version are passed over: such a phase reads as Pending."""

    observed_generation: int | None = None
    phase: Annotated[Phase, BeforeValidator(_known_phase)] = Phase.PENDING
    conditions: Annotated[tuple[Condition, ...], BeforeValidator(_known_conditions)] = ()
    replicas: int = 0
    ready_replicas: int = 0
    resolved_revision: str | None = None
    cache: CacheStatus | None = None
    url: str | None = None
    last_active_time: datetime | None = None
    start_seconds: float | None = Field(
        default=None, description="measured from pod created to ready: the ETA of a wake"
    )
    last_start: LastStart | None = None
    demand: Demand = Demand()
