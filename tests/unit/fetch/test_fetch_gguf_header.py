"""The beginning of a GGUF file tells how many weights it holds, and nothing in it can do harm."""

import struct
from collections.abc import Iterator

import pytest

from hfmodel_runtime.fetch.gguf_header import gguf_elements

MANY = 2**62


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content)) + content.encode()


def value(key: str, kind: int, content: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + content


def array(kind: int, count: int, content: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + content


def tensor(name: str, *shape: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 12, 0)


def start(*, tensors: int, values: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values)


HEADER = b"".join(
    (
        start(tensors=3, values=5),
        value("general.architecture", 8, text("llama")),
        value("llama.block_count", 4, struct.pack("<I", 2)),
        value("llama.scale", 12, struct.pack("<d", 1.0)),
        value("tokenizer.ggml.tokens", 9, array(8, 3, text("a") + text("bb") + text(""))),
        value("tokenizer.ggml.scores", 9, array(6, 3, bytes(12))),
        tensor("token_embd.weight", 32, 100),
        tensor("scalar"),
        tensor("blk.0.attn_q.weight", 32, 32),
    )
)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_all_tensors_count_however_the_bytes_arrive(size: int) -> None:
    content = HEADER + b"weights"
    chunks = (content[at : at + size] for at in range(0, len(content), size))
    assert gguf_elements(chunks) == 32 * 100 + 1 + 32 * 32


def test_no_more_is_read_than_the_header() -> None:
    def chunks() -> Iterator[bytes]:
        yield HEADER
        pytest.fail("the weights were asked for")

    assert gguf_elements(chunks()) > 0


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no model", id="another-format"),
        pytest.param(HEADER[:-1], id="cut-off"),
        pytest.param(HEADER[:6], id="cut-off-at-once"),
        pytest.param(start(tensors=0, values=0, version=0x03000000), id="big-endian"),
        pytest.param(start(tensors=0, values=1) + value("a", 99, b""), id="unknown-type"),
        pytest.param(start(tensors=0, values=1) + value("a", 9, array(9, 1, b"")), id="arrays-in-arrays"),
        pytest.param(start(tensors=1, values=0) + text("a") + struct.pack("<I", 2**31), id="endless-dimensions"),
        pytest.param(start(tensors=MANY, values=0), id="endless-tensors"),
        pytest.param(start(tensors=0, values=1) + value("a", 9, array(12, MANY, b"")), id="endless-array"),
        pytest.param(start(tensors=0, values=1) + struct.pack("<Q", MANY), id="endless-name"),
    ],
)
def test_what_is_no_header_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"GGUF|cut off|unknown type|dimensions|takes more"):
        gguf_elements([content])


def test_a_header_that_never_ends_is_given_up() -> None:
    def chunks() -> Iterator[bytes]:
        yield start(tensors=0, values=1) + value("a", 9, struct.pack("<IQ", 0, MANY))
        pytest.fail("more was asked for")

    with pytest.raises(ValueError, match="takes more than"):
        gguf_elements(chunks())
