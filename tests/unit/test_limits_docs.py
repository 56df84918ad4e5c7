"""The pages on limits, router and runtime say what the code has: each limit, metric and field of a log line."""

import logging
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from hfmodel_api.wire import Activity
from hfmodel_router.exchange import Exchange
from hfmodel_router.metrics import Metrics as RouterMetrics
from hfmodel_router.report import report
from hfmodel_router.settings import RouterSettings
from hfmodel_runtime.server.metrics import PREFIX
from hfmodel_runtime.server.metrics import Metrics as RuntimeMetrics
from hfmodel_runtime.settings import ServeSettings

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| [^|]+ \| `([A-Z_]+)` \| ([0-9]+) \|", re.MULTILINE)
# Bounds of one client, or of all together; each has to be in the table.
LIMITS = ("max_", "header_timeout", "body_timeout", "stall_timeout", "hold_timeout", "keep_alive")
NO_LIMIT_OF_A_CLIENT = {"max_length"}


def _section(page: str, title: str) -> str:
    text = (DOCS / page).read_text().split(f"\n## {title}\n")[1]
    return text.split("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "settings"), [("The router", RouterSettings), ("The runtime", ServeSettings)], ids=["router", "runtime"]
)
def test_every_limit_is_in_the_table_with_its_default(title: str, settings: type) -> None:
    documented = {name.lower(): float(default) for name, default in ROW.findall(_section("limits.md", title))}
    actual = {
        field.name: field.default
        for field in fields(settings)
        if field.name.startswith(LIMITS) and field.name not in NO_LIMIT_OF_A_CLIENT
    }
    assert documented == actual


def _names(registry: CollectorRegistry) -> set[str]:
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
        if family.name.startswith("hfmodel_")
    }


def test_every_metric_of_the_router_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(hfmodel_router_[a-z_]+)", _section("router.md", "Metrics"), re.MULTILINE))
    assert documented == _names(RouterMetrics().registry)


def test_every_metric_of_the_runtime_is_documented_and_no_other() -> None:
    idle = Activity(running=0, queued=0, requests_total=0, idle_seconds=0)
    shown = RuntimeMetrics(activity=lambda: idle).render().decode()
    exposed = set(re.findall(rf"^# TYPE {PREFIX}(\w+) ", shown, re.MULTILINE))
    paragraph = (DOCS / "runtime-contract.md").read_text().split("\nMetrics: ")[1].split("\n\n")[0]
    documented = set(re.findall(r"`([a-z0-9_]+[a-z0-9])(?:\{\w+\})?`", paragraph))
    assert documented == {name for name in exposed if not name.endswith("_created")}


def _documented_fields() -> set[str]:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (?!`)", _section("router.md", "Log"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


class _Sent:
    """The server's side of an exchange: takes the head of an answer."""

    receive = None

    def start(self, status: int, headers: object) -> None:
        pass


def test_every_field_of_the_routers_line_is_documented_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    times = iter(range(100))
    scope = {"type": "http", "method": "POST", "path": "/generate"}
    exchange = Exchange(
        scope,
        cast("Any", _Sent()),
        headers={},
        request_id="r",
        base_headers=[],
        clock=lambda: float(next(times)),
        stall_timeout=1,
    )
    with exchange.holding():
        pass
    exchange.start(500, [])
    exchange.model_id, exchange.pod, exchange.retries = "smollm2", "pod-1", 1
    exchange.tokens, exchange.first_byte_at = b"3 4", 1.0
    exchange.refused = exchange.aborted = "engine_failed"
    caplog.set_level(logging.INFO)
    report(exchange, RouterMetrics())
    [record] = caplog.records
    assert _documented_fields() == set(vars(record)["fields"])
