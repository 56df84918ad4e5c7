"""A fetch that is killed with SIGKILL at each of its steps in turn, in a process of its own each time.

    python killed_fetches.py FOLDER MODEL ENDPOINT LIMIT

FOLDER/template is copied to FOLDER/1, 2, 3 and so on. The fetch into cache N dies before its Nth change of the cache;
of a write, and of a file that a conversion saves, half is done. Ends with the first cache in which the fetch came
through, and prints its number. To look at them and to fetch once more is the caller's.
"""

import itertools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

import hfmodel_runtime.fetch.remote  # noqa: F401 - imported here, once, and not by every fork
from hfmodel_runtime.fetch import FetchRequest, convert_pickle, fetch
from hfmodel_runtime.fetch.keep import KeepList, Kept

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.link", "os.chmod"}
_DELETIONS = {"os.remove", "os.rmdir"}
_WRITING = os.O_WRONLY | os.O_RDWR
KEEP = KeepList(keeper="test", as_of=0.0, kept=frozenset({Kept("org--kept")}))


def main(folder: Path, model: str, endpoint: str, limit: int) -> int:
    for step in itertools.count(1):
        cache = folder / str(step)
        shutil.copytree(folder / "template", cache)
        request = FetchRequest(cache_dir=cache, model=model, endpoint=endpoint, cache_limit=limit, keep=KEEP)
        status = _in_a_fork(lambda step=step, request=request: _killed_at(step, request))  # type: ignore[misc]
        if status == 0:
            print(step)
            return 0
        if status != -signal.SIGKILL:
            print(f"step {step} ended with {status}", file=sys.stderr)
            return 1
    raise AssertionError


def _in_a_fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - nothing of a fork may go on into the parent's code
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killed_at(step: int, request: FetchRequest) -> None:
    steps, lock, pwrite = itertools.count(1), threading.Lock(), os.pwrite
    cache = str(request.cache_dir)

    def reached() -> bool:
        with lock:
            return next(steps) == step

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        # What rmtree deletes is named by the folder that it has open.
        deletes = event in _DELETIONS and arguments[1] >= 0
        if (writes or event in _CHANGES) and (deletes or str(arguments[0]).startswith(cache)) and reached():
            os.kill(os.getpid(), signal.SIGKILL)

    def torn(descriptor: int, content: bytes, offset: int) -> int:
        if reached():
            pwrite(descriptor, bytes(content)[: len(content) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return pwrite(descriptor, content, offset)

    def half_saved(tensors: dict[str, Any], filename: Path, **options: Any) -> None:
        save_file(tensors, filename, **options)
        if reached():
            os.truncate(filename, filename.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    vars(convert_pickle)["save_file"] = half_saved
    sys.addaudithook(audit)
    os.pwrite = torn  # type: ignore[assignment]
    fetch(request, progress=lambda _: None)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
