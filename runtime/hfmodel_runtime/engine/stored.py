"""How many weights a model's files hold and in which formats, read from their headers and not from the weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

# safetensors' names, and bytes of one number.
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_OTHERS = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "F4": 0.5}  # all others: one byte
_OF_TORCH = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_HALVES = frozenset({"F16", "BF16"})


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Numbers in the files, by format (safetensors' names).

    Attributes:
        largest: numbers of the largest tensor of each format, as far as that is known.
    """

    counts: Mapping[str, int]
    largest: Mapping[str, int] = field(default_factory=dict)

    @property
    def floats(self) -> int:
        """Numbers that are converted to the dtype a model is loaded in."""
        return sum(count for name, count in self.counts.items() if name in _FLOATS)

    @property
    def half(self) -> bool:
        """Whether most floats are stored in 16 bits."""
        return sum(self.counts.get(name, 0) for name in _HALVES) * 2 > self.floats

    def unpacked(self) -> "StoredWeights":
        """With quantised numbers (8-bit floats, bytes of two 4-bit ones) as the 16 bits that loading makes of them."""
        halves = sum(count * (2 if name == "U8" else 1) for name, count in self.counts.items() if _packed(name))
        plain = {name: count for name, count in self.counts.items() if not _packed(name)}
        return StoredWeights({**plain, "BF16": plain.get("BF16", 0) + halves}, self.largest)

    def bytes_as(self, dtype: torch.dtype) -> int:
        """Bytes once loaded: floats in `dtype`, everything else (quantised weights) as it is stored."""
        others = sum(count * _OTHERS.get(name, 1) for name, count in self.counts.items() if name not in _FLOATS)
        return self.floats * dtype.itemsize + int(others)

    def converted_at_once(self, dtype: torch.dtype) -> int:
        """Bytes in `dtype` of the largest tensor of floats that are stored in another format; 0 if none is."""
        others = (count for name, count in self.largest.items() if name in _FLOATS and name != _OF_TORCH.get(dtype))
        return max(others, default=0) * dtype.itemsize


def _packed(name: str) -> bool:
    return name == "U8" or name.startswith("F8_E4M3")


def stored_weights(files: Sequence[Path]) -> StoredWeights:
    """What the headers of safetensors `files` tell."""
    counts: Counter[str] = Counter()
    largest: dict[str, int] = {}
    for path in files:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a mapping
                tensor = file.get_slice(key)
                name, numbers = tensor.get_dtype(), prod(tensor.get_shape())
                counts[name] += numbers
                largest[name] = max(largest.get(name, 0), numbers)
    return StoredWeights(counts, largest)


def pickled_weights(files: Sequence[Path], config: Mapping[str, Any]) -> StoredWeights:
    """The same for pickles, which have no header: by their size and the format that config.json names."""
    named = config.get("dtype", config.get("torch_dtype"))
    dtype = next((each for each in _OF_TORCH if str(each) == f"torch.{named}"), torch.float32)
    return StoredWeights({_OF_TORCH[dtype]: sum(path.stat().st_size for path in files) // dtype.itemsize})
