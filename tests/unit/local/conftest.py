"""A zygote whose children pretend to be runtimes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hfmodel_cli.local.zygote import Zygote
from support import fake_zygote

TOKEN = "hf_unit_test_token"


@pytest.fixture
async def zygote(tmp_path: Path) -> AsyncIterator[Zygote]:
    environment = {**os.environ, "HF_TOKEN": TOKEN, "API_KEY": "caller-key"}
    parent = Zygote(log=tmp_path / "zygote.log", env=environment, command=fake_zygote.COMMAND)
    parent.start()
    yield parent
    await parent.close()
