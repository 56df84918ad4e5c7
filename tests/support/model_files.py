"""Model files small enough to write out: safetensors with one tensor, a config, an index."""

import json
import struct
from collections.abc import Mapping


def safetensors(size: int = 1000, *, name: str = "weight", fill: bytes = b"x") -> bytes:
    """A sound safetensors file with one tensor of `size` bytes."""
    header = json.dumps({name: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + fill * size


def config(**fields: object) -> bytes:
    return json.dumps({"model_type": "llama", **fields}).encode()


def weights_index(weight_map: Mapping[str, str]) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": dict(weight_map)}).encode()


def tiny_model(**files: bytes) -> dict[str, bytes]:
    """Files of a model directory that passes every check which does not load it."""
    return {"config.json": config(), "tokenizer.json": b"{}", "model.safetensors": safetensors(), **files}
