"""Settings that huggingface_hub and transformers read once, when they are imported."""

import os

_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # A token is passed explicitly or not at all: never the one that somebody left in the home directory.
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    # Files come over plain HTTP with ranges, so that a partial download can be continued by another process.
    "HF_HUB_DISABLE_XET": "1",
    # transformers would ask a service of the Hub to convert pickles; this package does it here.
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def prepare_environment() -> None:
    """Has to run before huggingface_hub is imported for the first time; what the user has set stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
