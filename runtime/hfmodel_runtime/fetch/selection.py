"""Which files of a repository make a model: safetensors first, what has to be converted otherwise. No I/O.

Everything else (ONNX, Flax, TensorFlow, original checkpoints, a second copy in another precision) is never fetched.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure

CONFIG = "config.json"

_SMALL = (
    "config*.json",
    "generation_config*.json",
    "tokenizer*.json",
    "tokenizer*.model*",
    "tokenizer*.txt",
    "vocab*.json",
    "vocab*.txt",
    "merges*.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*.json",
    "processor_config.json",
    "preprocessor_config.json",
    "*.model",
    "*.tiktoken",
    "*.jinja",
)
_SMALL_BELOW_ROOT = "additional_chat_templates/*.jinja"
_LIKE_WEIGHTS = frozenset(
    {
        *(".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".keras", ".msgpack", ".onnx"),
        *(".ot", ".npz", ".npy", ".tflite", ".pb", ".nemo", ".ggml", ".llamafile", ".mlmodel", ".engine"),
    }
)
_SHOWN, _SHOWN_LENGTH = 10, 80
_SHARD = re.compile(r"-\d{3,}-of-\d{3,}(\.[a-z]+)$")
_GGUF_NOT_A_MODEL = re.compile(r"mmproj|imatrix|-\d{3,}-of-\d{3,}\.gguf$", re.IGNORECASE)
# Eight bits lose next to nothing and are half of F16; below that the more bits the better. F32 is the biggest
# download for no gain over F16. Names without any of these come last.
_GGUF_ORDER = ("Q8_0", "BF16", "F16", "Q6_K", "Q5_K_M", "Q5_", "Q4_K_M", "Q4_", "IQ4", "F32", "Q3_", "IQ3", "Q2_", "")


class WeightFormat(StrEnum):
    SAFETENSORS = "safetensors"
    PICKLE = "pickle"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file as a repository lists it."""

    path: str  # relative to the repository, with slashes
    size: int | None = None  # bytes
    sha256: str | None = None  # of files in large file storage
    blob_id: str | None = None  # git's hash, of all others


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The files of one model. `weights` are all candidates until `narrowed` has seen the index."""

    format: WeightFormat
    small: tuple[SourceFile, ...]  # config, tokenizer, index: what can be looked at before the weights are paid for
    weights: tuple[SourceFile, ...]
    index: SourceFile | None = None

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return self.small + self.weights

    @property
    def total_bytes(self) -> int | None:
        """None if any size is unknown."""
        return total_bytes(self.files)


def total_bytes(files: Iterable[SourceFile]) -> int | None:
    sizes = [file.size for file in files]
    return sum(size for size in sizes if size is not None) if None not in sizes else None


def select(files: Collection[SourceFile], *, model: str, code: bool = False) -> Selection:
    """The files to fetch of all `files`; with `code` also *.py. `model` names the source in errors.

    Raises:
        FetchFailure: NoUsableWeights, ConfigInvalid.
    """
    safe = {file.path: file for file in files if _is_safe(file.path)}
    small = tuple(file for path, file in safe.items() if _is_small(path) or (code and path.endswith(".py")))
    for kind, stem, suffix in (
        (WeightFormat.SAFETENSORS, "model", ".safetensors"),
        (WeightFormat.PICKLE, "pytorch_model", ".bin"),
    ):
        index = safe.get(f"{stem}{suffix}.index.json")
        if single := safe.get(stem + suffix):
            return _with_config(Selection(format=kind, small=small, weights=(single,)), model)
        if index is not None:
            shards = tuple(file for path, file in safe.items() if _is_shard(path, stem=stem, suffix=suffix))
            return _with_config(Selection(format=kind, small=(*small, index), weights=shards, index=index), model)
    if best := _best_gguf(safe.values()):
        # Config and tokenizer come out of the file itself, in the version that its weights were made with.
        return Selection(format=WeightFormat.GGUF, small=(), weights=(best,))
    raise FetchFailure(
        Reason.NO_USABLE_WEIGHTS,
        f"{model} holds no weights that can be served: no model.safetensors, no pytorch_model.bin, no single-file GGUF"
        f"{_what_else(safe.values())}",
    )


def narrowed(selection: Selection, *, files: Collection[SourceFile], shards: Collection[str], model: str) -> Selection:
    """`selection` with exactly the weights that its index names.

    Raises:
        FetchFailure: NoUsableWeights, a shard is missing.
    """
    known = {file.path: file for file in files if _is_safe(file.path)}
    if missing := sorted(set(shards) - known.keys()):
        message = f"the weights of {model} are incomplete: {missing[0]} and {len(missing) - 1} more files are missing"
        if len(missing) == 1:
            message = f"the weights of {model} are incomplete: {missing[0]} is missing"
        raise FetchFailure(Reason.NO_USABLE_WEIGHTS, message)
    return replace(selection, weights=tuple(known[name] for name in sorted(set(shards))))


def _with_config(selection: Selection, model: str) -> Selection:
    if not any(file.path == CONFIG for file in selection.small):
        raise FetchFailure(Reason.CONFIG_INVALID, f"{model} has no config.json: it is not a transformers model")
    return selection


def _is_safe(path: str) -> bool:
    # Paths come from a server and become paths on this machine.
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path and "\0" not in path


def _is_small(path: str) -> bool:
    if "/" in path:
        return fnmatchcase(path, _SMALL_BELOW_ROOT) and path.count("/") == 1
    return any(fnmatchcase(path, pattern) for pattern in _SMALL)


def _is_shard(path: str, *, stem: str, suffix: str) -> bool:
    matched = _SHARD.search(path)
    return "/" not in path and path.startswith(stem) and matched is not None and matched[1] == suffix


def _best_gguf(files: Iterable[SourceFile]) -> SourceFile | None:
    found = [
        file
        for file in files
        if "/" not in file.path and file.path.lower().endswith(".gguf") and not _GGUF_NOT_A_MODEL.search(file.path)
    ]
    return min(found, key=lambda file: (_gguf_rank(file.path), file.path), default=None)


def _gguf_rank(path: str) -> int:
    name = path.upper()
    return next(rank for rank, kind in enumerate(_GGUF_ORDER) if kind in name)


def _what_else(files: Collection[SourceFile]) -> str:
    """What there is instead: weights in other formats or under other names, else the largest files."""
    adapter = any(file.path.startswith("adapter_model") for file in files)
    hint = "; it is an adapter (LoRA), name the base model it belongs to" if adapter else ""
    like_weights = [file for file in files if _is_like_weights(file.path)]
    shown = sorted(like_weights or files, key=lambda file: (-(file.size or 0), file.path))
    if not shown:
        return f"{hint}; it has no files"
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{hint}; it has {', '.join(map(_shown, shown[:_SHOWN]))}{more}"


def _is_like_weights(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _LIKE_WEIGHTS


def _shown(file: SourceFile) -> str:
    # The message has to fit where Kubernetes keeps it, and a path may be as long as it likes.
    path = file.path if len(file.path) <= _SHOWN_LENGTH else f"...{file.path[-_SHOWN_LENGTH:]}"
    return path if file.size is None else f"{path} ({human_bytes(file.size)})"
