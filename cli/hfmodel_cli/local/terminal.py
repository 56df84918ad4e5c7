"""Two audiences of `hfmodel up`: a person at a terminal, and a log."""

import json
import logging
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from hfmodel_api.errors import InvalidManifest
from hfmodel_api.spec import HFModel, ModelType
from hfmodel_api.status import CacheStatus
from hfmodel_cli.local.announce import News
from hfmodel_cli.progress import progress_text, speed_texts

logger = logging.getLogger(__name__)


# A download that ends sooner is told by its beginning and its end alone, where no bar shows it.
_LONG_SECONDS = 10.0


class Terminal:
    """Single lines, and a bar for each download where the output is a terminal; elsewhere a line for each tenth."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}  # of downloads that no bar shows
        self._progress: Progress | None = None

    def welcome(self, models: Iterable[HFModel], *, url: str, with_key: bool) -> None:
        """What is served, where, and a call to try."""
        table = Table("ID", "TYPE", "MODEL", "DESCRIPTION", box=None, header_style="bold", pad_edge=False)
        shown = list(models)
        for model in shown:
            table.add_row(*map(Text, (model.id, model.spec.type.value, model.spec.model, model.spec.description)))
        if shown:
            self._console.print(table)
        else:
            self._console.print("no models yet: add manifests to the catalogue, they are picked up as they come")
        serving = f"\nserving at {url} (docs: {url}/docs). Ctrl-C stops everything."
        self._console.print(Text(serving, style="bold"), soft_wrap=True)
        if shown:
            self._console.print(Text(f"try: {example(shown[0], url=url, with_key=with_key)}\n"), soft_wrap=True)

    def say(self, news: News) -> None:
        self._line(news.model_id, news.text, style="red" if news.is_bad else "")

    def invalid(self, error: InvalidManifest) -> None:
        for each in error.errors:
            self._line(error.origin or "catalogue", str(each), style="red")

    def note(self, text: str) -> None:
        self._line("note", text)

    def progress(self, model_id: str, cache: CacheStatus | None) -> None:
        if not self._console.is_terminal:
            self._tenth(model_id, cache)
            return
        if cache is None or cache.bytes == cache.total_bytes:
            self._drop(model_id)
            return
        progress = self._progress or self._begin()
        if model_id not in self._bars:
            self._bars[model_id] = progress.add_task(model_id, total=None, speed="")
        progress.update(
            self._bars[model_id],
            completed=cache.bytes,
            total=cache.total_bytes,
            speed=", ".join(speed_texts(cache)),
            refresh=True,
        )

    def _tenth(self, model_id: str, cache: CacheStatus | None) -> None:
        if cache is None:
            self._tenths.pop(model_id, None)
            return
        tenth = cache.bytes * 10 // cache.total_bytes if cache.total_bytes else 0
        is_long = cache.seconds_left is not None and cache.seconds_left >= _LONG_SECONDS
        if is_long and tenth > self._tenths.get(model_id, -1):
            self._tenths[model_id] = tenth
            self._line(model_id, f"fetching, {progress_text(cache)}")

    def close(self) -> None:
        """Take the bars away."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._bars = None, {}

    def _begin(self) -> Progress:
        # The speed is the fetch's own: what an earlier try had brought already counts for nothing there.
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[speed]}"))
        # Refreshed with each piece of news; the default is a thread that does it all the time.
        self._progress = Progress(*columns, console=self._console, auto_refresh=False, transient=True)
        self._progress.start()
        return self._progress

    def _drop(self, model_id: str) -> None:
        if self._progress is None or model_id not in self._bars:
            return
        self._progress.remove_task(self._bars.pop(model_id))
        if not self._bars:
            self.close()

    def _line(self, subject: str, text: str, *, style: str = "") -> None:
        line = Text.assemble((f"{datetime.now():%H:%M:%S} ", "dim"), (subject, "bold"), "  ", (text, style))
        self._console.print(line, soft_wrap=True)


class LogAudience:
    """The same as log records, for `--json-logs` and whoever collects them."""

    def welcome(self, models: Iterable[HFModel], *, url: str, with_key: bool) -> None:
        ids = [model.id for model in models]
        logger.info("serving", extra={"url": url, "models": ids, "needs_key": with_key})

    def say(self, news: News) -> None:
        level = logging.WARNING if news.is_bad else logging.INFO
        logger.log(level, news.text, extra={"model": news.model_id})

    def invalid(self, error: InvalidManifest) -> None:
        logger.warning("invalid manifest", extra={"origin": error.origin, "errors": [str(e) for e in error.errors]})

    def note(self, text: str) -> None:
        logger.info(text)

    def progress(self, model_id: str, cache: CacheStatus | None) -> None:
        if cache is not None:
            logger.debug("fetching", extra={"model": model_id, **cache.model_dump()})

    def close(self) -> None:
        """Nothing is open."""


def example(model: HFModel, *, url: str, with_key: bool) -> str:
    """A curl call that `model` answers."""
    key = ' -H "Authorization: Bearer $HFMODEL_API_KEY"' if with_key else ""
    start = f"curl{key} -H 'Content-Type: application/json' {url}"
    if model.spec.type in (ModelType.CONVERSATIONAL, ModelType.INSTRUCTION):
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        body = json.dumps({"model": model.id, "messages": messages})
        return f"{start}/v1/chat/completions -d '{body}'"
    body = json.dumps({"text": "The capital of France is", "max_new_tokens": 20})
    return f"{start}/models/{model.id}/generate -d '{body}'"
