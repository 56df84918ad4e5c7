"""The short form of `make chaos` on one machine: faults from one seed, and no request may be lost."""

import asyncio
from pathlib import Path

import pytest

from chaos.local import local_rig
from chaos.reference import prepare
from chaos.report import explained, passed
from chaos.run import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 1
SECONDS = 45.0


def test_no_request_is_lost_while_parts_of_hfmodel_up_are_killed(tmp_path: Path, smollm2_dir: Path) -> None:
    reference = prepare(tmp_path, smollm2=smollm2_dir)
    with local_rig(tmp_path, reference) as rig:
        found = asyncio.run(run(rig, seed=SEED, seconds=SECONDS, answers=reference.answers, report=print))
        assert passed(found), f"{explained(found)}\n{rig.logs()}"
