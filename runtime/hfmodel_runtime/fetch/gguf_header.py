"""How many weights a GGUF file holds, from its beginning alone. No I/O, and none of the libraries that convert it.

The layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
from collections.abc import Iterable

_MAGIC = b"GGUF"
_VERSIONS = {2, 3}
# Bytes by the number of a value's type; strings and arrays have lengths of their own.
_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 8
_MAX_BYTES = 256 << 20  # a vocabulary takes some megabytes of them


def gguf_elements(chunks: Iterable[bytes]) -> int:
    """The elements of all tensors of a GGUF file that begins with `chunks`; reads no further than its header.

    Raises:
        ValueError: no GGUF file, cut off in its header, or of a kind that is not known here.
    """
    header = _Reader(chunks)
    if header.take(len(_MAGIC)) != _MAGIC or header.u32() not in _VERSIONS:
        raise ValueError("not a little-endian GGUF file of version 2 or 3")
    tensors, values = header.u64(), header.u64()
    for _ in range(values):
        header.skip_string()
        _skip_value(header, header.u32())
    return sum(_tensor_elements(header) for _ in range(tensors))


def _tensor_elements(header: "_Reader") -> int:
    header.skip_string()
    dimensions = header.u32()
    if dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"a tensor of {dimensions} dimensions")
    elements = math.prod(header.u64() for _ in range(dimensions))
    header.skip(4 + 8)  # its type, and where it begins
    return elements


def _skip_value(header: "_Reader", kind: int) -> None:
    if kind != _ARRAY:
        return _skip_items(header, kind, 1)
    kind = header.u32()
    return _skip_items(header, kind, header.u64())


def _skip_items(header: "_Reader", kind: int, count: int) -> None:
    if kind in _FIXED:
        header.skip(_FIXED[kind] * count)
    elif kind == _STRING:
        for _ in range(count):
            header.skip_string()
    else:
        raise ValueError(f"a value of the unknown type {kind}")


class _Reader:
    """Bytes in a row, out of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._position = 0  # in the chunk
        self._left = _MAX_BYTES

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def skip_string(self) -> None:
        self.skip(self.u64())

    def take(self, count: int) -> bytes:
        """A few bytes."""
        if count <= len(self._chunk) - self._position:
            self._position += count
            self._spend(count)
            return self._chunk[self._position - count : self._position]
        self._chunk, self._position = self._chunk[self._position :], 0
        while len(self._chunk) < count:
            self._chunk += self._next()
        return self.take(count)

    def skip(self, count: int) -> None:
        self._spend(count)
        while count > len(self._chunk) - self._position:
            count -= len(self._chunk) - self._position
            self._chunk, self._position = self._next(), 0
        self._position += count

    def _next(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise ValueError("it is cut off in its header") from None

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"its header takes more than {_MAX_BYTES} bytes")
