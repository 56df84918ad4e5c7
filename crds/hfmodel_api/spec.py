"""The HFModel spec as typed, frozen values: parsed once at the edge, defaults here and nowhere else.

`crds/hfmodels.yaml` is the schema a cluster enforces; `tests/unit/api/test_schema_drift.py` runs the same manifests
through both. Where the two could differ on what a value means, this module is what the code runs on.
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from hfmodel_api import patterns
from hfmodel_api.duration import format_duration, parse_duration
from hfmodel_api.names import API_VERSION, ID_MAX_LENGTH, ID_PATTERN, KIND

_QUANTITY_LENGTH = 64


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _positive_duration(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("must be longer than 0s")
    return value


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 3.0 is an integer to the API server.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _quantity(value: Any) -> str | int:
    number = _whole(value)
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        return number
    if isinstance(value, str) and len(value) <= _QUANTITY_LENGTH and re.fullmatch(patterns.QUANTITY, value):
        return value
    raise ValueError(f"{value!r} is not {patterns.EXPLANATIONS[patterns.QUANTITY]}")


def _without_nulls(value: Any) -> Any:
    # The API server drops the nulls of a mapping before it fills in defaults.
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive_duration)]
Whole = Annotated[int, BeforeValidator(_whole)]
DnsName = Annotated[str, Field(pattern=patterns.DNS_NAME, max_length=253)]
OptionalDnsName = Annotated[str, Field(pattern=patterns.OPTIONAL_DNS_NAME, max_length=253)]
Quantity = Annotated[str | int, PlainValidator(_quantity)]
Quantities = Annotated[dict[str, Quantity], BeforeValidator(_without_nulls)]


class _Strict(BaseModel):
    # Strict: "3" is not 3, as the API server has it. Unknown fields are errors: a typo must not be ignored.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return _without_nulls(data)


class ModelType(StrEnum):
    """How /chat forms a prompt; says nothing about the architecture, which is read from the model's config."""

    TEXT = "text"
    CONVERSATIONAL = "conversational"
    CODE = "code"
    INSTRUCTION = "instruction"


class Device(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Dtype(StrEnum):
    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class EngineName(StrEnum):
    AUTO = "auto"
    TRANSFORMERS = "transformers"


# In strict mode an enum or a tuple is not made from the text or list of a manifest unless the field says so.
_FROM_TEXT = Field(strict=False)


class HubSource(_Strict):
    """The Hugging Face Hub, or a mirror of it."""

    endpoint: Annotated[str, Field(pattern=patterns.ENDPOINT, max_length=1024)] | None = None


class PVCSource(_Strict):
    """A model that lies on a volume already."""

    claim_name: DnsName
    path: Annotated[str, Field(min_length=1, max_length=1024)]


class Source(_Strict):
    """Where the weights come from; at most one is set, none means the Hub."""

    hub: HubSource | None = None
    pvc: PVCSource | None = None
    # A file or folder of this machine, relative to the manifest; only `hfmodel up` can reach it.
    path: Annotated[str, Field(min_length=1, max_length=1024)] | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        named = [name for name in ("hub", "pvc", "path") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"set one of hub, pvc and path, not {' and '.join(named)}")
        return self


class SecretKeyRef(_Strict):
    """A key of a Secret in the HFModel's namespace."""

    name: DnsName
    key: Annotated[str, Field(pattern=patterns.DATA_KEY, max_length=253)] = "HF_TOKEN"


class GPU(_Strict):
    """How many GPUs of which profile; profiles are named in the Helm values. No profile: any `nvidia.com/gpu`."""

    profile: Annotated[str, Field(pattern=patterns.DNS_NAME, max_length=63)] | None = None
    count: Annotated[Whole, Field(ge=1, le=64)] = 1


class Scaling(_Strict):
    """How many pods, and when there is none."""

    min_replicas: Annotated[Whole, Field(ge=0, le=100)] = 0
    max_replicas: Annotated[Whole, Field(ge=1, le=100)] = 1
    idle_timeout: Duration = timedelta(minutes=30)
    target_in_flight: Annotated[Whole, Field(ge=1, le=10_000)] = 16
    scale_down_delay: Duration = timedelta(seconds=30)
    start_timeout: PositiveDuration = timedelta(minutes=10)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas ({self.min_replicas}) must not exceed maxReplicas ({self.max_replicas})")
        return self


class Cache(_Strict):
    """What happens to the weights before anybody calls."""

    prefetch: bool = True


class Resources(_Strict):
    """Compute resources, as in a pod's container."""

    requests: Quantities = {}
    limits: Quantities = {}


class EnvVar(_Strict):
    """An environment variable of the serving container; `valueFrom` passes through as in a pod."""

    name: Annotated[str, Field(pattern=patterns.ENV_NAME, max_length=253)]
    value: str | None = None
    value_from: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value is not None and self.value_from is not None:
            raise ValueError("set one of value and valueFrom")
        return self


class HFModelSpec(_Strict):
    """`spec` of an HFModel; the fields are explained in `crds/hfmodels.yaml` and docs/hfmodel.md."""

    model: Annotated[str, Field(pattern=patterns.REPO_ID, max_length=200)]
    revision: Annotated[str, Field(pattern=patterns.REVISION, max_length=200)] = "main"
    source: Source = Source()
    type: Annotated[ModelType, _FROM_TEXT] = ModelType.TEXT
    description: Annotated[str, Field(max_length=4096)] = ""
    size: Annotated[str, Field(max_length=32)] = ""
    max_length: Annotated[Whole, Field(ge=1, le=10_000_000)] | None = None
    suggested_temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    gated: bool = False
    token_secret_ref: SecretKeyRef | None = None
    device: Annotated[Device, _FROM_TEXT] = Device.AUTO
    dtype: Annotated[Dtype, _FROM_TEXT] = Dtype.AUTO
    engine: Annotated[EngineName, _FROM_TEXT] = EngineName.AUTO
    gpu: GPU | None = None
    resources: Resources = Resources()
    node_selector: Annotated[dict[str, str], BeforeValidator(_without_nulls)] = {}
    tolerations: Annotated[tuple[dict[str, Any], ...], _FROM_TEXT] = ()
    affinity: dict[str, Any] = {}
    priority_class_name: OptionalDnsName = ""
    image: Annotated[str, Field(max_length=1024)] = ""
    env: Annotated[tuple[EnvVar, ...], _FROM_TEXT] = ()
    service_account_name: OptionalDnsName = ""
    scaling: Scaling = Scaling()
    cache: Cache = Cache()
    trust_remote_code: bool = False
    allow_pickle: bool = False


class HFModel(BaseModel):
    """One HFModel: its identity and what is wanted of it. Status travels beside it, never inside."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=ID_PATTERN, max_length=ID_MAX_LENGTH)]
    spec: HFModelSpec
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    def manifest(self) -> dict[str, Any]:
        """The manifest of this model, ready for YAML: only what differs from the defaults."""
        metadata: dict[str, Any] = {"name": self.id}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        spec = self.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
