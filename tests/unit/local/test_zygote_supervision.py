"""The parent of runtimes, seen from `hfmodel up`: what it starts, tells, and takes along."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hfmodel_cli.local.processes import Exit, Launch, LaunchFailed, RuntimeProcess
from hfmodel_cli.local.zygote import Zygote
from support import fake_zygote
from support.alive import alive, children_of, parent_of, wait_until_gone


def launch(tmp_path: Path, *, name: str = "m", **env: str) -> Launch:
    settings = {"model_id": name, "termination_log": str(tmp_path / f"{name}.termination")}
    return Launch(settings=settings, env=env, log=str(tmp_path / f"{name}.log"))


async def about(process: RuntimeProcess) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        body: dict[str, Any] = (await client.get(f"{process.url}/about")).json()
        return body


def started_with(pid: int) -> set[bytes]:
    """The values of its environment."""
    return {pair.partition(b"=")[2] for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}


def standard_input(pid: int) -> str:
    return str(Path(f"/proc/{pid}/fd/0").readlink())


def open_sockets(pid: int) -> set[str]:
    links = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return {link for link in links if link.startswith("socket:")}


async def test_a_launched_runtime_answers_at_once_and_ends_by_sigterm(zygote: Zygote, tmp_path: Path) -> None:
    process = await zygote.launch(launch(tmp_path))
    assert (await about(process))["pid"] == process.pid
    await process.send_signal(signal.SIGTERM)
    assert await process.wait() == Exit(None, signal.SIGTERM)
    await process.send_signal(signal.SIGTERM)  # of no effect any more


async def test_runtimes_are_apart_from_each_other(zygote: Zygote, tmp_path: Path) -> None:
    processes = await asyncio.gather(*(zygote.launch(launch(tmp_path, name=f"m{n}")) for n in range(4)))
    assert len({process.pid for process in processes}) == len({process.url for process in processes}) == 4
    assert [(await about(process))["settings"]["model_id"] for process in processes] == ["m0", "m1", "m2", "m3"]
    assert all(os.getsid(process.pid) == process.pid for process in processes)
    await processes[0].send_signal(signal.SIGKILL)
    await processes[0].wait()
    assert [(await about(process))["settings"]["model_id"] for process in processes[1:]] == ["m1", "m2", "m3"]
    assert (tmp_path / "m2.log").read_text() == "fake runtime of m2\n"


@pytest.mark.parametrize(
    ("how", "ended", "said"),
    [
        pytest.param("exit=3", Exit(3), "it said boom", id="exit-code"),
        pytest.param("raise", Exit(1), "a bug of the child", id="exception"),
    ],
)
async def test_how_a_runtime_ended_is_told(zygote: Zygote, tmp_path: Path, how: str, ended: Exit, said: str) -> None:
    process = await zygote.launch(launch(tmp_path, FAKE=how))
    assert await process.wait() == ended
    assert said in (tmp_path / "m.log").read_text()


async def test_a_runtime_has_no_secret_and_no_file_of_its_parent(zygote: Zygote, tmp_path: Path) -> None:
    other = await zygote.launch(launch(tmp_path, name="other"))
    process = await zygote.launch(launch(tmp_path, HF_TOKEN="from-a-manifest"))
    environment = (await about(process))["env"]
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert not {"HF_TOKEN", "API_KEY"} & environment.keys()
    for pid in (process.pid, parent_of(process.pid)):
        assert not {b"hf_unit_test_token", b"caller-key"} & started_with(pid)
    await about(other)
    assert not open_sockets(process.pid) & open_sockets(other.pid)
    assert standard_input(process.pid) == os.devnull


async def test_a_launch_that_cannot_be_is_refused_and_harms_no_other(zygote: Zygote, tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match="FileNotFoundError"):
        await zygote.launch(Launch(settings={"model_id": "m"}, env={}, log=str(tmp_path / "no" / "such" / "folder")))
    assert (await about(await zygote.launch(launch(tmp_path))))["pid"]


async def test_when_the_parent_is_killed_its_runtimes_go_and_a_new_parent_comes(zygote: Zygote, tmp_path: Path) -> None:
    process = await zygote.launch(launch(tmp_path))
    parent = parent_of(process.pid)
    os.kill(parent, signal.SIGKILL)
    ended = await process.wait()
    assert ended.signal == signal.SIGKILL
    assert str(ended) == "the parent of the runtimes ended"
    wait_until_gone(lambda: [process.pid, parent])
    again = await zygote.launch(launch(tmp_path))
    assert parent_of(again.pid) != parent


async def test_closing_ends_everything(zygote: Zygote, tmp_path: Path) -> None:
    process = await zygote.launch(launch(tmp_path, FAKE="stubborn"))
    parent = parent_of(process.pid)
    await zygote.close()
    assert not alive(parent)
    wait_until_gone(lambda: [process.pid])


async def test_a_parent_that_cannot_import_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "FAKE_IMPORT_ERROR": "1"}
    zygote = Zygote(log=tmp_path / "zygote.log", env=environment, command=fake_zygote.COMMAND)
    zygote.start()
    try:
        with pytest.raises(LaunchFailed, match=r"No module named 'torch'.*pip install"):
            await zygote.launch(launch(tmp_path))
    finally:
        await zygote.close()


async def test_a_runtime_whose_caller_has_gone_is_ended(zygote: Zygote, tmp_path: Path) -> None:
    first = await zygote.launch(launch(tmp_path, name="first"))
    asking = asyncio.create_task(zygote.launch(launch(tmp_path, name="orphan")))
    await asyncio.sleep(0)  # one step: the request is written, its answer cannot be here
    asking.cancel()
    last = await zygote.launch(launch(tmp_path, name="last"))
    assert (tmp_path / "orphan.log").exists()
    parent = parent_of(first.pid)
    wait_until_gone(lambda: children_of(parent) - {first.pid, last.pid})
    assert alive(first.pid)
    assert alive(last.pid)


def test_kill_9_of_the_whole_program_leaves_no_process(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, pathlib
from hfmodel_cli.local.processes import Launch
from hfmodel_cli.local.zygote import Zygote

async def main():
    log = pathlib.Path({str(tmp_path / "z.log")!r})
    zygote = Zygote(log=log, env=os.environ, command={tuple(fake_zygote.COMMAND)!r})
    zygote.start()
    for name in "ab":
        launch = Launch(settings={{"model_id": name}}, env={{"FAKE": "stubborn"}}, log={str(tmp_path)!r} + "/" + name)
        print((await zygote.launch(launch)).pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        pids = [int(victim.stdout.readline()) for _ in "ab"]
        pids.append(parent_of(pids[0]))
        assert all(map(alive, pids))
        victim.kill()
    wait_until_gone(lambda: pids)
