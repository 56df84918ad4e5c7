"""A real `hfmodel up` that serves SmolLM2, shared by the tests that only ask it things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hfmodel_up import hfmodel_up, write_manifest


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
