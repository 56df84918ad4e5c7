"""The Hub's HTTP API: what a repository holds at a revision, and the bytes of a file from any offset.

Files are read with huggingface_hub's session and headers but not with its `hf_hub_download`: since 2.4 that keeps no
partial file, so a download that is killed at 90% would start again from nothing.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, ModelInfo, get_session, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoSibling

# Exported on first use, which type checkers do not see.
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.deadline import within
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.hub_errors import is_transient
from hfmodel_runtime.fetch.request import HubSource, Retry
from hfmodel_runtime.fetch.retry_after import asked_seconds
from hfmodel_runtime.fetch.selection import SourceFile
from hfmodel_runtime.fetch.tally import Tally

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds at one commit."""

    commit: str
    files: tuple[SourceFile, ...]


class Hub:
    """One repository at the Hub or a mirror. Safe to use from several threads."""

    def __init__(self, source: HubSource, *, retry: Retry, tally: Tally) -> None:
        self.source = source
        self.retry = retry
        self._tally = tally
        # False, not None: None would let huggingface_hub look for a token by itself.
        self._token: str | bool = source.token if source.token is not None else False

    def listing(self, *, brief: bool = False) -> Listing:
        """Resolve the revision and list its files, trying again where that may help. Raises as huggingface_hub does.

        `brief`: for those who have another answer. One try, which ends after `Retry.brief_seconds` whatever happens.
        """
        source = self.source
        api = HfApi(endpoint=source.endpoint, token=self._token)
        not_a_hub = f"{api.endpoint} does not answer as the Hugging Face Hub does: check the endpoint"

        def ask() -> ModelInfo:
            return api.model_info(
                source.model, revision=source.revision, files_metadata=True, timeout=self.retry.silence_seconds
            )

        try:
            info = self._briefly(ask) if brief else self._retried(ask)
        except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise FetchFailure(Reason.HUB_UNREACHABLE, not_a_hub) from error
        if info.sha is None or info.siblings is None:
            raise FetchFailure(Reason.HUB_UNREACHABLE, not_a_hub)
        return Listing(info.sha, tuple(map(_source_file, info.siblings)))

    @contextmanager
    def open(self, path: str, *, commit: str, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The bytes of a file from `offset` on: (where they really start: `offset` or 0, chunks as they arrive)."""
        url = hf_hub_url(self.source.model, path, revision=commit, endpoint=self.source.endpoint)
        # Compressed on the way, a range would not be a range of the file.
        headers = {**build_hf_headers(token=self._token), "accept-encoding": "identity"}
        if offset:
            headers["range"] = f"bytes={offset}-"
        timeout = self.retry.silence_seconds
        with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
            hf_raise_for_status(response)
            yield _start(response), response.iter_bytes()

    def _briefly(self, call: Callable[[], _T]) -> _T:
        try:
            return within(call, seconds=self.retry.brief_seconds)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error)) from error

    def _retried(self, call: Callable[[], _T]) -> _T:
        failures = 0
        while True:
            try:
                return call()
            except (HfHubHTTPError, httpx2.HTTPError) as error:
                failures += 1
                if failures >= self.retry.attempts or not is_transient(error):
                    raise
                wait = self.retry.wait_seconds(failures, asked=asked_seconds(error, now=datetime.now(UTC)))
                name = type(error).__name__
                logger.warning("hub not answering model=%s error=%s wait=%.1f", self.source.model, name, wait)
                self._tally.retried()
                time.sleep(wait)


def _source_file(file: RepoSibling) -> SourceFile:
    if file.lfs:
        # git's hash would be that of the pointer.
        return SourceFile(path=file.rfilename, size=file.lfs.size, sha256=file.lfs.sha256)
    return SourceFile(path=file.rfilename, size=file.size, blob_id=file.blob_id)


def _start(response: httpx2.Response) -> int:
    matched = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    return int(matched[1]) if response.status_code == httpx2.codes.PARTIAL_CONTENT and matched else 0
