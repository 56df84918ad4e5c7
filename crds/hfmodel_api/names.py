"""Every name, label and header that more than one part uses, in one place."""

from typing import Final

GROUP: Final = "hfmodel.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "HFModel"
PLURAL: Final = "hfmodels"
SHORT_NAME: Final = "hfm"

# metadata.name is the <id> of the REST paths, a DNS subdomain as for any object, and a label value, hence at most 63
# characters.
ID_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
ID_MAX_LENGTH: Final = 63

LABEL_MODEL: Final = f"{GROUP}/model"
LABEL_TEMPLATE_HASH: Final = f"{GROUP}/template-hash"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"

# Set on a runtime's 503 when it refused a request without starting it: safe to send again elsewhere.
HEADER_REFUSED: Final = "x-hfmodel-refused"
# The caller's or the router's id of a request; copied to the answer and to every log line.
HEADER_REQUEST_ID: Final = "x-request-id"
# How long a client is willing to be held, in seconds (the router caps it by its own deadline).
HEADER_HOLD_TIMEOUT: Final = "x-hfmodel-hold-timeout"
# How long the router held the request before a pod took it, in seconds; on every held answer.
HEADER_HELD_SECONDS: Final = "x-hfmodel-held-seconds"
# How often the router sent the request again before an answer began; absent if never.
HEADER_RETRIES: Final = "x-hfmodel-retries"
# On a runtime's whole answers (a stream's tokens are not known when it begins): "PROMPT ANSWER", in tokens.
# On a request to a runtime, with any value: a stream is to end with them, in a comment.
HEADER_TOKENS: Final = "x-hfmodel-tokens"

# Read by the router or by the one who fetches; a process that serves a model gets none of them.
SECRET_VARIABLES: Final = frozenset(
    {
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACE_TOKEN",
        "HUGGINGFACE_HUB_TOKEN",
        "API_KEY",
        "HFMODEL_API_KEY",
        "HFMODEL_API_KEYS",
    }
)
