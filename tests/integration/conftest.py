"""What integration tests share: which of them may run at once, and a real `hfmodel up` that serves SmolLM2."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hfmodel_up import hfmodel_up, write_manifest

# These look at what a node changes on the whole machine.
_ALONE = "test_cluster_node"


def pytest_itemcollected(item: pytest.Item) -> None:
    """With `-n`, a file's tests stay together, because they share servers; those about nodes do with one another."""
    name = item.path.stem
    item.add_marker(pytest.mark.xdist_group(_ALONE if name.startswith(_ALONE) else name))


@pytest.fixture(scope="session")
def smollm2_url(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The router's URL. The model is `smollm2`; it never goes to sleep by itself."""
    work = tmp_path_factory.mktemp("up")
    catalog = work / "catalog"
    catalog.mkdir()
    write_manifest(
        catalog,
        "smollm2",
        path=smollm2_dir,
        model="HuggingFaceTB/SmolLM2-135M-Instruct",
        type="instruction",
        scaling={"idleTimeout": "1h"},
    )
    with hfmodel_up(catalog, work=work) as running:
        yield running.url
