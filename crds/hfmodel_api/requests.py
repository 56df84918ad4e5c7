"""Bodies of the REST calls, validated in one place: the runtime runs on them, the router documents them.

`GenerateRequest` and `ChatRequest` keep the old server's fields; the others are OpenAI's. A field that is known but not
supported is refused by name, never ignored.
"""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hfmodel_api.errors import InvalidRequest
from hfmodel_api.validation import field_errors

MAX_TEXT = 4_000_000  # characters; the body limit of the servers is of the same order
MAX_STOP_STRINGS = 16
MAX_CHOICES = 16
MAX_PROMPTS = 64
MAX_LOGPROBS = 20
MAX_LOGIT_BIAS = 1024
MAX_TOKEN_ID = 2**31 - 1
_MAX_ERRORS_SHOWN = 5
# Beyond this many, saying what is wrong costs seconds of a server's event loop; finding it wrong does not.
_MAX_ERRORS_LISTED = 200

Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
# A list fails at its first bad item: a body of a million bad items would otherwise cost a million errors.
TokenIds = Annotated[list[Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]], Field(min_length=1, fail_fast=True)]
StopString = Annotated[str, Field(min_length=1, max_length=1000)]
_Model = TypeVar("_Model", bound="_Request")


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Sampling(_Request):
    """What every call that generates can say about how tokens are chosen."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="0 is greedy; default: the model's suggestedTemperature"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000)] | None = Field(default=None, description="0 or -1: off")
    min_p: Annotated[float, Field(ge=0, lt=1)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS)] | None = None
    ignore_eos: bool = False
    min_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @field_validator("presence_penalty", "frequency_penalty", "repetition_penalty", "min_p", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any, info: Any) -> Any:
        # OpenAI's clients may send an explicit null for "the default".
        return cls.model_fields[info.field_name].default if value is None else value

    @property
    def stop_strings(self) -> tuple[str, ...]:
        match self.stop:
            case None:
                return ()
            case str(text):
                return (text,)
            case texts:
                return tuple(texts)


class GenerateRequest(_Sampling):
    """`POST /generate`: the old server's fields, and the sampling fields of the others."""

    text: Text = Field(description="the prompt")
    max_length: Tokens | None = Field(
        default=None, description="tokens of prompt and answer together, capped by the model's; default 100"
    )
    max_new_tokens: Tokens | None = Field(default=None, description="tokens of the answer; wins over max_length")
    max_tokens: Tokens | None = Field(default=None, description="synonym of max_new_tokens")
    do_sample: bool = Field(default=True, description="false: greedy, whatever the temperature")
    num_return_sequences: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    stream: bool = False

    @property
    def answer_tokens(self) -> int | None:
        return self.max_new_tokens if self.max_new_tokens is not None else self.max_tokens


class ChatRequest(_Sampling):
    """`POST /chat`: the old server's fields, and the sampling fields of the others."""

    message: Text
    context: Text | None = Field(default=None, description="the transcript that the last answer carried")
    system: Text | None = None
    max_length: Tokens | None = Field(
        default=None, description="tokens of transcript and answer together, capped by the model's"
    )
    max_new_tokens: Tokens | None = None
    max_tokens: Tokens | None = Field(default=None, description="synonym of max_new_tokens")
    do_sample: bool = True
    stream: bool = False

    @property
    def answer_tokens(self) -> int | None:
        return self.max_new_tokens if self.max_new_tokens is not None else self.max_tokens


class StreamOptions(_Request):
    include_usage: bool = False


class ResponseFormat(_Request):
    type: Literal["text"]


class _OpenAI(_Sampling):
    model: Annotated[str, Field(min_length=1, max_length=253)]
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=MAX_LOGIT_BIAS)] | None
    ) = None
    # Accepted for the clients' sake; they describe the caller and change no token.
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @field_validator("n", "stream", mode="before")
    @classmethod
    def _null_n_is_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @field_validator("logit_bias")
    @classmethod
    def _token_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for token_id in value or ():
            if not (token_id.isdecimal() and len(token_id) <= len(str(MAX_TOKEN_ID))):
                raise ValueError(f"keys are token ids, {token_id[:40]!r} is not one")
        return value

    @model_validator(mode="after")
    def _options_need_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed with stream: true")
        return self


class CompletionRequest(_OpenAI):
    """`POST /v1/completions`."""

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)]
    )
    max_tokens: Tokens | None = Field(default=None, description="default 16, as OpenAI's")
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: bool = False
    best_of: Literal[1] | None = None
    suffix: None = None

    @property
    def answer_tokens(self) -> int | None:
        return self.max_tokens


class TextPart(_Request):
    type: Literal["text"]
    text: Text


class Message(_Request):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)] | None = None
    name: str | None = None
    # As the official client sends back an assistant message it was given.
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None
    annotations: list[Any] | None = None

    @property
    def text(self) -> str:
        match self.content:
            case None:
                return ""
            case str(text):
                return text
            case parts:
                return "".join(part.text for part in parts)


Messages = Annotated[list[Message], Field(min_length=1, max_length=10_000, fail_fast=True)]


class ChatCompletionRequest(_OpenAI):
    """`POST /v1/chat/completions`."""

    messages: Messages
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = Field(default=None, description="wins over max_tokens")
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text"]] | None = None
    # Not supported; null or empty is what clients send when they do not use them.
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    functions: None = None
    function_call: None = None
    audio: None = None

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only allowed with logprobs: true")
        return self

    @property
    def answer_tokens(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class TokenizeRequest(_Request):
    """`POST /tokenize`: a prompt or a conversation, as token ids."""

    text: Text | None = None
    messages: Messages | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.text is None) == (self.messages is None):
            raise ValueError("give either text or messages")
        return self


# In the words of a refusal: fields that are OpenAI's but not (yet) this server's.
_UNSUPPORTED = frozenset(
    {"tools", "functions", "function_call", "response_format", "audio", "suffix", "best_of", "modalities", "tool_calls"}
)


def parse_request(kind: type[_Model], body: bytes) -> _Model:
    """`body` as a `kind`.

    Raises:
        InvalidRequest: with the first field at fault as `param` and a sentence for each.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > _MAX_ERRORS_LISTED:
            raise InvalidRequest(f"the body has {error.error_count()} errors") from None
        errors = field_errors(error)
    first = errors[0].path
    root = first.partition(".")[0].partition("[")[0]
    if root in _UNSUPPORTED and root in kind.model_fields:
        raise InvalidRequest(f"{root}: not supported by this server ({errors[0].message})", param=root)
    raise InvalidRequest("; ".join(map(str, errors[:_MAX_ERRORS_SHOWN])), param=first or None)
