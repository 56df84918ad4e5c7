"""The calls that a pod answers: which path is which, what their bodies are, where they go."""

from dataclasses import dataclass

from pydantic import BaseModel

from hfmodel_api.requests import ChatCompletionRequest, ChatRequest, CompletionRequest, GenerateRequest
from hfmodel_api.spec import ModelType
from hfmodel_api.wire import PATH_CHAT, PATH_GENERATE, PATH_V1_CHAT, PATH_V1_COMPLETIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKind:
    """One kind of call."""

    route: str  # as documented, and the label in metrics
    upstream_path: str  # at the pod
    body: type[GenerateRequest] | type[ChatRequest] | type[CompletionRequest] | type[ChatCompletionRequest]
    summary: str
    default_type: ModelType | None = None  # without an id in the path: the first model of this type


_GENERATE_SUMMARY = "Continue a text"
_CHAT_SUMMARY = "Answer a message"

GENERATE = CallKind(
    route="/models/{model_id}/generate", upstream_path=PATH_GENERATE, body=GenerateRequest, summary=_GENERATE_SUMMARY
)
CHAT = CallKind(route="/models/{model_id}/chat", upstream_path=PATH_CHAT, body=ChatRequest, summary=_CHAT_SUMMARY)
ANY_GENERATE = CallKind(
    route="/generate",
    upstream_path=PATH_GENERATE,
    body=GenerateRequest,
    summary=f"{_GENERATE_SUMMARY}, by the first model of type text",
    default_type=ModelType.TEXT,
)
ANY_CHAT = CallKind(
    route="/chat",
    upstream_path=PATH_CHAT,
    body=ChatRequest,
    summary=f"{_CHAT_SUMMARY}, by the first model of type conversational",
    default_type=ModelType.CONVERSATIONAL,
)
OPENAI_CHAT = CallKind(
    route=PATH_V1_CHAT,
    upstream_path=PATH_V1_CHAT,
    body=ChatCompletionRequest,
    summary="Answer a conversation, as OpenAI's API",
)
OPENAI_COMPLETIONS = CallKind(
    route=PATH_V1_COMPLETIONS,
    upstream_path=PATH_V1_COMPLETIONS,
    body=CompletionRequest,
    summary="Continue a text, as OpenAI's API",
)
KINDS = (GENERATE, CHAT, ANY_GENERATE, ANY_CHAT, OPENAI_CHAT, OPENAI_COMPLETIONS)

_FIXED = {kind.route: kind for kind in KINDS if "{" not in kind.route}
_OF_A_MODEL = {"generate": GENERATE, "chat": CHAT}


@dataclass(frozen=True, slots=True)
class Call:
    """One request's kind, and the model it names in its path, if any."""

    kind: CallKind
    model_id: str | None = None


def match(path: str) -> Call | None:
    """The call that `path` is, whatever the method; None where no pod answers it."""
    fixed = _FIXED.get(path)
    if fixed is not None:
        return Call(fixed)
    match path.split("/"):
        case ["", "models", model_id, action] if action in _OF_A_MODEL:
            return Call(_OF_A_MODEL[action], model_id)
    return None


class Addressed(BaseModel):
    """The one field of an OpenAI body that this router reads itself."""

    model: str
