from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from support.tiny_models import cached_models

TinyModel = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """More threads make matrices of this size slower, the more so beside other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Makes a tiny model of an architecture, each once a session; do not change its files."""
    return cached_models(tmp_path_factory.mktemp("tiny-models"))
