"""Which addresses a node takes, and that no two nodes take the same."""

import json
from ipaddress import IPv4Network

import pytest

from cluster.errors import ClusterError
from cluster.ranges import Ranges, claimed, claimed_ranges, free, parse_routes

BLOCKS = [IPv4Network("10.64.0.0/16"), IPv4Network("10.65.0.0/16")]


def test_the_parts_of_a_block_lie_in_it_and_apart() -> None:
    ranges = Ranges(BLOCKS[0])
    parts = [ranges.link, ranges.services, ranges.pods]
    assert all(part.subnet_of(ranges.block) for part in parts)
    assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)
    assert {ranges.host, ranges.node} == set(ranges.link.hosts())


@pytest.mark.parametrize("block", ["10.127.0.0/16", "198.19.0.0/16"])
def test_a_name_is_short_enough_for_a_link(block: str) -> None:
    assert len(Ranges(IPv4Network(block)).name) <= 15


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        pytest.param([], BLOCKS, id="nothing"),
        pytest.param(["10.64.3.0/24"], BLOCKS[1:], id="a part of one"),
        pytest.param(["10.0.0.0/8"], [], id="more than all"),
        pytest.param(["192.168.0.0/16"], BLOCKS, id="something else"),
    ],
)
def test_a_block_is_free_if_nothing_of_it_is_used(used: list[str], expected: list[IPv4Network]) -> None:
    found = free(map(IPv4Network, used), BLOCKS)
    assert [ranges.block for ranges in found] == expected


def test_every_route_uses_a_network_but_those_to_the_rest_of_the_world() -> None:
    names = ["default", "0.0.0.0/1", "128.0.0.0/1", "10.8.0.0/16", "192.0.2.2"]
    routes = json.dumps([{"dst": name} for name in names])
    assert parse_routes(routes) == [IPv4Network("10.8.0.0/16"), IPv4Network("192.0.2.2/32")]


def test_a_machine_without_routes_uses_nothing() -> None:
    assert parse_routes("") == []


def test_two_nodes_at_a_time_have_blocks_of_their_own() -> None:
    with claimed_ranges() as first, claimed_ranges() as second:
        assert not first.block.overlaps(second.block)


def test_a_claim_ends_with_its_block() -> None:
    with claimed("test-of-claims") as ours:
        assert ours
        with claimed("test-of-claims") as again:
            assert not again
    with claimed("test-of-claims") as free_again:
        assert free_again


def test_no_free_block_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cluster.ranges._networks_in_use", lambda: [IPv4Network("8.0.0.0/6"), IPv4Network("192.0.0.0/3")]
    )
    expected = r"every network from 10\.64\.0\.0/16 to 198\.19\.0\.0/16 is in use here"
    with pytest.raises(ClusterError, match=expected), claimed_ranges():
        pytest.fail("claimed")
