"""The regular expressions of the API, each with the words for who breaks it.

`crds/hfmodels.yaml` repeats them; the drift test keeps both equal. They use only what Go's RE2, Rust's regex and
Python's `re` read alike: ASCII classes, no `\\s`, no look-around.
"""

from typing import Final

from hfmodel_api import duration
from hfmodel_api.names import ID_PATTERN

REPO_ID: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$"
REVISION: Final = r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$"
# No user:password@ part: a manifest is no place for a secret.
ENDPOINT: Final = r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?$"
DNS_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
OPTIONAL_DNS_NAME: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"
DATA_KEY: Final = r"^[-._a-zA-Z0-9]+$"
ENV_NAME: Final = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"
DURATION: Final = duration.PATTERN
# A Kubernetes quantity, not negative.
QUANTITY: Final = (
    r"^\+?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)

# Durations of no length; fields that must be longer say `not` to it.
ZERO_DURATION: Final = r"^[0.hms]*$"

_NAME_WORDS: Final = "a name: use lower-case letters, digits, '-' and '.', with a letter or digit at both ends"

# Read after "'the value' is not ".
EXPLANATIONS: Final = {
    ID_PATTERN: _NAME_WORDS,
    DNS_NAME: _NAME_WORDS,
    OPTIONAL_DNS_NAME: _NAME_WORDS,
    REPO_ID: "a Hugging Face repo id: write it as gpt2 or HuggingFaceTB/SmolLM2-135M-Instruct",
    REVISION: "a branch, tag or commit",
    ENDPOINT: "an address of a Hub: write it as https://host, without user, query or spaces",
    DATA_KEY: "a key of a Secret: use letters, digits, '-', '_' and '.'",
    ENV_NAME: "the name of an environment variable: use letters, digits, '-', '_' and '.', no digit first",
    QUANTITY: "a quantity: write it as 2, 500m, 4Gi (not negative)",
    DURATION: "a duration: write it as 30s, 15m, 1h30m (units: ms, s, m, h; not negative)",
}

# Read after the path, for those who do match.
REFUSALS: Final = {ZERO_DURATION: "must be longer than 0s"}
