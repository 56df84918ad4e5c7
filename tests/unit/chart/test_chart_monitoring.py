"""Monitors and alerts speak of metrics that there are, and only where somebody reads them."""

import re
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from hfmodel_api.wire import PATH_METRICS, Activity
from hfmodel_operator.cluster.labels import MANAGER
from hfmodel_router.metrics import Metrics as RouterMetrics
from hfmodel_runtime.server.metrics import Metrics as RuntimeMetrics
from support.chart_installations import MONITORING
from support.helm import PROMETHEUS, render

KINDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
IDLE = Activity(running=0, queued=0, requests_total=0, idle_seconds=0)


def series(registry: CollectorRegistry) -> Iterable[tuple[str, set[str]]]:
    """Name and labels of everything that a registry can expose."""
    for metric in registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
        collector = registry._names_to_collectors[metric.name]
        labels = set(getattr(collector, "_labelnames", ()))
        for suffix in suffixes:
            yield metric.name + suffix, labels | ({"le"} if suffix == "_bucket" else set())


def known() -> dict[str, set[str]]:
    runtime = text_string_to_metric_families(RuntimeMetrics(activity=lambda: IDLE).render().decode())
    found = dict(series(RouterMetrics().registry))
    # The model of a runtime's metrics is a label that the PodMonitor adds.
    return found | {sample.name: {"model"} for family in runtime for sample in family.samples} | {"up": {"job"}}


def expressions() -> list[str]:
    rule = render(MONITORING, apis=[PROMETHEUS]).one("PrometheusRule")
    return [alert["expr"] for group in rule["spec"]["groups"] for alert in group["rules"]]


def test_the_alerts_use_metrics_that_exist() -> None:
    metrics = known()
    selectors = [found for text in expressions() for found in re.findall(r"([a-z_]+)\{([^}]*)\}", text)]
    assert len(selectors) >= len(expressions())
    for name, matchers in selectors:
        assert name in metrics
        labels = set(re.findall(r"([a-z_]+)(?:=~|!~|!=|=)", matchers))
        assert labels - {"namespace"} <= metrics[name]
        assert 'namespace="models"' in matchers


def test_the_alerts_group_by_labels_that_exist() -> None:
    metrics = known()
    for text in expressions():
        wanted = {label.strip() for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(",")}
        for name in re.findall(r"([a-z_]+)\{", text):
            assert wanted <= metrics[name] | {"le"}


def test_every_alert_says_what_to_do() -> None:
    (group,) = render(MONITORING, apis=[PROMETHEUS]).one("PrometheusRule")["spec"]["groups"]
    for alert in group["rules"]:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"].endswith(".")
    assert len({alert["alert"] for alert in group["rules"]}) == len(group["rules"])


def test_the_monitors_find_service_and_pods() -> None:
    rendered = render(MONITORING, apis=[PROMETHEUS])
    service, monitor = rendered.one("Service"), rendered.one("ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == PATH_METRICS
    pods = rendered.one("PodMonitor", "hfmodel-runtime")
    assert pods["spec"]["selector"]["matchLabels"]["app.kubernetes.io/managed-by"] == MANAGER
    assert pods["metadata"]["labels"]["release"] == "prometheus"


def test_the_operator_is_scraped_where_it_listens() -> None:
    rendered = render(MONITORING, apis=[PROMETHEUS])
    monitor = rendered.one("PodMonitor", "hfmodel-operator")
    pod = rendered.pod("operator")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert endpoint["path"] == PATH_METRICS


@pytest.mark.parametrize(
    ("values", "apis"),
    [
        pytest.param(MONITORING, [], id="no Prometheus operator"),
        pytest.param({}, [PROMETHEUS], id="not asked for"),
    ],
)
def test_without_a_reader_there_is_none(values: dict[str, object], apis: list[str]) -> None:
    assert render(values, apis=apis).kinds & KINDS == set()


def test_the_notes_say_when_monitoring_was_left_out() -> None:
    assert "no monitoring.coreos.com/v1" in render(MONITORING).notes
    assert "monitoring.coreos.com/v1" not in render(MONITORING, apis=[PROMETHEUS]).notes


def test_alerts_can_be_left_to_others() -> None:
    kinds = render({"monitoring": {"enabled": True, "rules": False}}, apis=[PROMETHEUS]).kinds
    assert kinds & KINDS == {"ServiceMonitor", "PodMonitor"}


def test_a_router_without_metrics_is_not_scraped() -> None:
    kinds = render({"monitoring": {"enabled": True}, "router": {"metrics": False}}, apis=[PROMETHEUS]).kinds
    assert kinds & KINDS == {"PodMonitor"}
