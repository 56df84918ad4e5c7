"""`hfmodel-runtime fetch`: one fetch as a process. Facts for programs on stdout, the log for people on stderr."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.fetcher import fetch
from hfmodel_runtime.fetch.limits import limits_from
from hfmodel_runtime.fetch.request import DEFAULT_REVISION, FetchRequest, Progress

logger = logging.getLogger(__name__)

_EXIT_FAILED = 1
_EXIT_BY_SIGNAL = 128


def main(argv: list[str]) -> int:
    """Run one fetch. 0 done; 1 failed; 2 wrong arguments; 130 or 143 stopped by SIGINT or SIGTERM.

    stdout has a JSON object a line: any number of `progress`, then one `done` or one `error` (none when stopped).
    HF_TOKEN comes from the environment alone.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        limits = limits_from(arguments, os.environ)
    except ValueError as error:
        parser.error(str(error))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Its lines hold signed addresses.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        with _stopped_by_signals():
            token = os.environ.get("HF_TOKEN", "").strip() or None
            request = replace(_request(arguments, token=token), cache_limit=limits.cache_limit, keep=limits.keep)
            return _run(request, link=arguments.link, termination_log=arguments.termination_log)
    except _Stopped as stopped:
        logger.warning("stopped signal=%s", stopped.signal.name)
        return _EXIT_BY_SIGNAL + stopped.signal


def _run(request: FetchRequest, *, link: Path | None, termination_log: Path | None) -> int:
    try:
        fetched = fetch(request, progress=_print_progress)
    except FetchFailure as error:
        # A traceback helps nobody where the sentence says it all.
        unexplained = error.failure.reason is Reason.CRASH_LOOP
        logger.log(logging.ERROR, "fetch failed reason=%s: %s", error.failure.reason, error, exc_info=unexplained)
        _print_outcome({"event": "error", **error.failure.model_dump(mode="json")}, termination_log)
        return _EXIT_FAILED
    if link is not None:
        _point(link, fetched.path)
    done: dict[str, Any] = {
        "event": "done",
        "path": str(fetched.path),
        "revision": fetched.revision,
        "bytes": fetched.bytes,
    }
    done |= {**asdict(fetched.work), "seconds": round(fetched.work.seconds, 3)}
    _print_outcome(done, termination_log)
    return 0


def _point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, also where one was before."""
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hfmodel-runtime fetch",
        description="Bring a model into the cache and print where it is. HF_TOKEN is read from the environment.",
        allow_abbrev=False,
    )
    parser.add_argument("--cache-dir", type=Path, required=True, metavar="DIR")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="REPO", help="a repository of the Hugging Face Hub: org/name")
    source.add_argument("--path", type=Path, help="a model directory, or a .gguf file")
    parser.add_argument("--revision", default=DEFAULT_REVISION, metavar="REV", help="branch, tag or commit")
    parser.add_argument("--endpoint", type=_endpoint, metavar="URL", help="a mirror of the Hub")
    parser.add_argument("--allow-pickle", action="store_true", help="load .bin files that can run code")
    parser.add_argument("--trust-remote-code", action="store_true", help="fetch the repository's Python code too")
    _add_limit(parser)
    parser.add_argument("--link", type=Path, help="make this a symbolic link to the model directory")
    parser.add_argument("--termination-log", type=Path, metavar="FILE", help="file for the outcome, as JSON")
    return parser


def _add_limit(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a cache with a limit", "each option has a variable that means the same")
    group.add_argument(
        "--cache-limit",
        metavar="SIZE",
        help="before it gets bigger, unused models go: 40Gi, 500GB (HFMODEL_CACHE_LIMIT)",
    )
    group.add_argument(
        "--keeper", metavar="NAME", help="who says what must stay: a name for this installation (HFMODEL_CACHE_KEEPER)"
    )
    group.add_argument(
        "--keep",
        action="append",
        metavar="MODEL",
        help="REPO@COMMIT, REPO or a path in the cache that must stay; repeatable, all that the keeper names or runs "
        "(HFMODEL_CACHE_KEEP, with spaces between)",
    )
    group.add_argument(
        "--keep-as-of",
        metavar="SECONDS",
        help="when that was so, in seconds since the epoch by the keeper's clock (HFMODEL_CACHE_KEEP_AS_OF); now",
    )


def _endpoint(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} does not start with http:// or https://")
    return text.rstrip("/")


def _request(arguments: argparse.Namespace, *, token: str | None) -> FetchRequest:
    return FetchRequest(
        model=arguments.model,
        revision=arguments.revision,
        endpoint=arguments.endpoint,
        token=token,
        path=arguments.path,
        cache_dir=arguments.cache_dir.absolute(),
        allow_pickle=arguments.allow_pickle,
        trust_remote_code=arguments.trust_remote_code,
    )


def _print_progress(progress: Progress) -> None:
    speed, left = progress.bytes_per_second, progress.seconds_left
    _print(
        {
            "event": "progress",
            "stage": progress.stage.value,
            "bytes": progress.bytes,
            "total_bytes": progress.total_bytes,
            "bytes_per_second": None if speed is None else round(speed, 1),
            "seconds_left": None if left is None else round(left, 1),
        }
    )


def _print_outcome(event: dict[str, Any], termination_log: Path | None) -> None:
    if termination_log is not None:
        try:
            termination_log.write_text(json.dumps(event) + "\n", encoding="utf-8")
        except OSError as error:
            logger.warning("outcome not written path=%s error=%s", termination_log, error.strerror)
    _print(event)


def _print(event: dict[str, Any]) -> None:
    try:
        print(json.dumps(event), flush=True)
    except BrokenPipeError:
        # Whoever wanted the model is gone. Point stdout elsewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _Stopped(signal.SIGPIPE) from None


class _Stopped(BaseException):
    """A signal asks the process to end; not an Exception, so that nobody on the way takes it for a failure."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.signal = number


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise `_Stopped` in the main thread; a second one ends the process at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for caught in previous:
            signal.signal(caught, signal.SIG_DFL)
        raise _Stopped(signal.Signals(number))

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
