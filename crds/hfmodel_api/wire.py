"""The contract between router, operator and runtime: paths, and the small JSON bodies beside the REST surface.

docs/runtime-contract.md is the same for people.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hfmodel_api.status import Reason

PATH_HEALTHZ = "/healthz"
PATH_READYZ = "/readyz"
PATH_INFO = "/info"
PATH_METRICS = "/metrics"
PATH_ACTIVITY = "/activity"
PATH_RETIRE = "/retire"
PATH_GENERATE = "/generate"
PATH_CHAT = "/chat"
PATH_TOKENIZE = "/tokenize"
PATH_V1_MODELS = "/v1/models"
PATH_V1_COMPLETIONS = "/v1/completions"
PATH_V1_CHAT = "/v1/chat/completions"

# The beginning of the comment that ends a stream whose request had the header HEADER_TOKENS; two numbers follow.
TOKENS_COMMENT = b": tokens "

# A retirement that nobody follows up ends by itself, so that a dead operator strands nobody.
RETIREMENT_SECONDS = 60.0


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Stage(StrEnum):
    """The stages of a start, in order; each is named by what its time goes into. docs/performance.md has the table."""

    DECIDE = "decide"  # from the want to the pod's creation
    SCHEDULE = "schedule"  # until a node is chosen
    CONTAINER = "container"  # until the process begins: images, volumes, the container; in local mode the fork
    PORT = "port"  # until the port is open
    IMPORTS = "imports"  # until torch and transformers are imported
    WEIGHTS = "weights"  # until the model's files are mapped
    WARM_UP = "warm-up"  # until a first token is computed; then the process is ready
    SEEN = "seen"  # until whoever waits for it knows


class Start(_Body):
    """How a serving process came up."""

    began_at: datetime  # by the clock of its machine
    stages: dict[str, float]  # seconds that each took, from `port` to `warm-up`


class Activity(_Body):
    """`GET /activity`: the truth about work lives where the work is."""

    running: int  # requests that generate now
    queued: int  # accepted, waiting for a place in the batch
    requests_total: int  # accepted since the process started; never falls, so short work between two polls is seen
    idle_seconds: float  # since the last request ended (or since ready); 0 while any is running or queued
    retired: bool = False
    start: Start | None = None  # once it is ready

    @property
    def busy(self) -> bool:
        return self.running + self.queued > 0


class RetireRequest(_Body):
    """`POST /retire`: take no more work, if idle for so long. 200 retired; 409 busy, or not idle that long."""

    idle_for_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class MemoryUsage(_Body):
    """As the old server's /models/{id}/info named it, and what the cache takes beside the weights."""

    total_parameters: int
    trainable_parameters: int
    estimated_size_mb: float
    cache_bytes_per_token: int | None = None  # keys and values of one token
    cache_budget_mb: float | None = None  # what the cache may take
    max_concurrent_tokens: int | None = None  # prompts and answers of all running sequences together


class RuntimeInfo(_Body):
    """`GET /info` of a runtime."""

    model_id: str
    model: str  # Hugging Face repo id
    revision: str | None
    architecture: str  # "LlamaForCausalLM"
    seq2seq: bool
    device: str
    dtype: str
    engine: str
    max_length: int  # tokens, prompt and answer together (seq2seq: of each)
    chat_format: str  # "template" (the model's own), "dialogpt", "human-assistant", "plain"
    memory_usage: MemoryUsage
    load_seconds: float
    versions: dict[str, str]  # python, torch, transformers
    cuda_devices: tuple[str, ...] = ()
    cuda_memory_bytes: tuple[int, ...] = ()  # of each of them, used or not; empty where the runtime does not tell


class Failure(_Body):
    """Why fetching or loading failed: the last line of a container's termination message, as JSON."""

    reason: Reason
    message: str
    retryable: bool = False
