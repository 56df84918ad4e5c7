"""What a person at the terminal is told, line by line."""

import io
import logging

import pytest
from rich.console import Console

from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.status import CacheStatus, Condition, ConditionType, HFModelStatus, Phase, Reason
from hfmodel_cli.local.announce import Announcer, News
from hfmodel_cli.local.fetches import FetchState
from hfmodel_cli.local.registry import Registry
from hfmodel_cli.local.terminal import LogAudience, Terminal, example
from support.local_values import NOON, hfmodel


class Listener:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bad: list[str] = []

    def say(self, news: News) -> None:
        (self.bad if news.is_bad else self.lines).append(news.text)

    def progress(self, model_id: str, cache: CacheStatus | None) -> None:
        """Not looked at."""


def status(phase: Phase, reason: Reason, message: str = "why") -> HFModelStatus:
    ready = Condition(type=ConditionType.READY, status="Unknown", reason=reason, message=message)
    return HFModelStatus(phase=phase, conditions=(ready,))


STARTING = status(Phase.STARTING, Reason.STARTING)
FETCHING_POD = status(Phase.STARTING, Reason.FETCHING)
READY = status(Phase.READY, Reason.READY)
RETIRING = status(Phase.RETIRING, Reason.RETIRING)
ASLEEP = status(Phase.ASLEEP, Reason.ASLEEP)
FULL = status(Phase.STARTING, Reason.POOL_FULL, "all places are taken")
CRASHED = status(Phase.STARTING, Reason.CRASH_LOOP, "boom; it is tried again")
FAILED = status(Phase.FAILED, Reason.GATED_NO_TOKEN, "set HF_TOKEN")


@pytest.mark.parametrize(
    ("statuses", "lines", "bad"),
    [
        pytest.param([ASLEEP], [], [], id="at-start-nothing"),
        pytest.param([ASLEEP, STARTING, READY, READY], ["waking", "ready"], [], id="a-wake"),
        pytest.param([FETCHING_POD, STARTING, READY], ["waking", "ready"], [], id="a-wake-that-fetches"),
        pytest.param([READY, RETIRING, ASLEEP], ["ready", "asleep; the next request wakes it"], [], id="to-sleep"),
        pytest.param([FULL, STARTING], ["all places are taken", "waking"], [], id="waits-for-a-place"),
        pytest.param(
            [STARTING, CRASHED, STARTING, READY],
            ["waking", "waking", "ready"],
            ["failed (CrashLoop): boom; it is tried again"],
            id="a-crash",
        ),
        pytest.param([FAILED, FAILED], [], ["failed (GatedNoToken): set HF_TOKEN"], id="given-up"),
    ],
)
def test_lines(statuses: list[HFModelStatus], lines: list[str], bad: list[str]) -> None:
    listener = Listener()
    registry = Registry(now=lambda: NOON, changed=lambda: None)
    registry.subscribe(Announcer(registry, listener, lambda _: FetchState()).changed)
    registry.set_models({"m": hfmodel()})
    for each in statuses:
        registry.write_status("m", each)
    assert (listener.lines, listener.bad) == (lines, bad)


def test_a_removed_model_is_told_once() -> None:
    listener = Listener()
    registry = Registry(now=lambda: NOON, changed=lambda: None)
    announcer = Announcer(registry, listener, lambda _: FetchState())
    registry.subscribe(announcer.changed)
    registry.set_models({"m": hfmodel()})
    registry.set_models({})
    announcer.changed("m")
    assert listener.lines == ["removed"]


def test_the_welcome_names_the_models_the_url_and_a_call() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, width=100))
    terminal.welcome([hfmodel(description="a [red]plain[/red] text")], url="http://u:1", with_key=True)
    text = output.getvalue()
    assert "a [red]plain[/red] text" in text
    assert "serving at http://u:1" in text
    assert '"Authorization: Bearer $HFMODEL_API_KEY"' in text


def test_an_empty_catalogue_is_no_error() -> None:
    output = io.StringIO()
    Terminal(Console(file=output)).welcome([], url="http://u:1", with_key=False)
    assert "no models yet" in output.getvalue()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("text", "/models/m/generate"),
        ("conversational", "/v1/chat/completions"),
        ("instruction", "/v1/chat/completions"),
    ],
)
def test_the_example_suits_the_model(kind: str, path: str) -> None:
    assert f"http://u{path} -d '" in example(hfmodel(type=kind), url="http://u", with_key=False)


def test_a_broken_manifest_is_shown_field_by_field() -> None:
    output = io.StringIO()
    errors = (FieldError("spec.type", "'txt' is not one of text"), FieldError("spec.model", "is required"))
    Terminal(Console(file=output, width=40)).invalid(InvalidManifest(errors, origin="models/a.yaml"))
    lines = output.getvalue().splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "spec.type: 'txt' is not one of text",
        "spec.model: is required",
    ]
    assert all("models/a.yaml" in line for line in lines)


def test_a_bar_shows_while_a_terminal_is_there_and_a_download_runs() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, force_terminal=True, width=80))
    terminal.progress("m", CacheStatus(bytes=500_000, total_bytes=1_000_000))
    assert "0.5/1.0 MB" in output.getvalue()
    terminal.say(News("m", "a line meanwhile"))
    terminal.progress("m", None)
    terminal.close()
    assert "a line meanwhile" in output.getvalue()


def test_the_bar_says_speed_and_time_left() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, force_terminal=True, width=120))
    cache = CacheStatus(bytes=500_000, total_bytes=1_000_000, bytes_per_second=2_000.0, seconds_left=250.0)
    terminal.progress("m", cache)
    terminal.close()
    assert "2.0 kB/s, 4m left" in output.getvalue()


def download(tenths: float, *, seconds_left: float) -> CacheStatus:
    return CacheStatus(bytes=int(tenths * 100), total_bytes=1000, bytes_per_second=5.0, seconds_left=seconds_left)


def test_a_pipe_gets_a_line_for_each_tenth_of_a_long_download() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, width=100))
    for tenths in (0.0, 0.5, 1.0, 1.9, 5.0):
        terminal.progress("m", download(tenths, seconds_left=100))
    terminal.progress("m", None)
    terminal.progress("m", download(5.0, seconds_left=100))
    lines = output.getvalue().splitlines()
    shares = [line.partition("(")[2].partition(")")[0] for line in lines]
    assert shares == ["0 %", "10 %", "50 %", "50 %"]
    assert lines[1].endswith("m  fetching, 100 B of 1.0 kB (10 %), 5 B/s, 100s left")


def test_a_pipe_gets_no_line_for_a_short_download() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, width=100))
    for tenths in (1.0, 5.0):
        terminal.progress("m", download(tenths, seconds_left=3))
    terminal.progress("m", CacheStatus(bytes=3))
    assert output.getvalue() == ""


def test_the_log_says_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    audience = LogAudience()
    audience.welcome([hfmodel()], url="http://u", with_key=False)
    audience.say(News("m", "failed", is_bad=True))
    audience.invalid(InvalidManifest((FieldError("spec", "is required"),), origin="a.yaml"))
    audience.note("a note")
    audience.progress("m", CacheStatus(bytes=1))
    audience.close()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING", "INFO", "DEBUG"]
