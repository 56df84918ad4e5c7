"""What can be told of a model directory from its files alone, before anything heavy is loaded."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model", "*.tiktoken")


def read_config(directory: Path) -> dict[str, Any]:
    """config.json as it stands.

    Raises:
        LoadFailure: it is missing, or not a model's config.
    """
    path = directory / "config.json"
    if not directory.is_dir():
        raise LoadFailure(Reason.CONFIG_INVALID, f"{directory} is not a directory; it should hold a model's files")
    if not path.is_file():
        raise LoadFailure(Reason.CONFIG_INVALID, f"{directory} has no config.json; is this a transformers model?")
    config = _json_object(path, Reason.CONFIG_INVALID)
    if not isinstance(config.get("model_type"), str):
        raise LoadFailure(Reason.CONFIG_INVALID, "config.json names no model_type; is this a transformers model?")
    return config


def check_tokenizer_files(directory: Path) -> None:
    """Without these transformers would make up an empty tokenizer."""
    if not any(found.is_file() for pattern in _TOKENIZERS for found in directory.glob(pattern)):
        raise LoadFailure(
            Reason.CONFIG_INVALID,
            f"{directory} has no tokenizer (tokenizer.json, *.model or vocab.json); add its files to the repository",
        )


def check_weights(directory: Path, *, allow_pickle: bool) -> bool:
    """Whether the weights are safetensors, every file there and whole; False: pickled ones, which are allowed.

    Raises:
        LoadFailure: no weights, or a file is missing, cut short or corrupt.
    """
    if (directory / _SINGLE).is_file():
        files = [_SINGLE]
    elif (directory / _INDEX).is_file():
        files = _indexed(directory / _INDEX)
    elif any((directory / name).is_file() for name in _PICKLES):
        if allow_pickle:
            return False
        raise LoadFailure(
            Reason.WEIGHTS_INVALID,
            f"{directory} has only pickled weights (.bin), which can run code when loaded; convert them to safetensors "
            "or, if you trust their author, set allowPickle: true",
        )
    else:
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"{directory} has no weights (*.safetensors)")
    for name in files:
        _check_file(directory / name)
    return True


def _indexed(index: Path) -> list[str]:
    weight_map = _json_object(index, Reason.WEIGHTS_INVALID).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"{index.name} has no weight_map; download the model again")
    return sorted({str(name) for name in weight_map.values()})


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"{path.name} is missing; download the model again")
    try:
        # Reads the header and compares it with the file's size.
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise LoadFailure(
            Reason.WEIGHTS_INVALID, f"{path.name} is cut short or corrupt ({error}); download the model again"
        ) from error


def _json_object(path: Path, reason: Reason) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadFailure(reason, f"{path.name} cannot be read as JSON ({error}); download the model again") from error
    if not isinstance(content, dict):
        raise LoadFailure(reason, f"{path.name} is not a JSON object; download the model again")
    return content
