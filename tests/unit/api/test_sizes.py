"""Sizes as people write and read them."""

import pytest

from hfmodel_api.sizes import human_bytes, parse_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (538_090_408, "538.1 MB"), (2 * 10**18, "2000.0 PB")],
)
def test_bytes_are_written_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("40Gi", 40 * 2**30),
        ("40GiB", 40 * 2**30),
        ("40G", 40 * 10**9),
        ("40GB", 40 * 10**9),
        (" 1.5 T ", 1_500_000_000_000),
        ("500k", 500_000),
        ("123456789012345678", 123456789012345678),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "40i", "1e9", "0", "0.1", "40 Gib it", "9" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_bytes(text)
