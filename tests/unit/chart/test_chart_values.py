"""Every value does something, and docs/chart-values.md has all of them with their defaults."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from support.chart_installations import DIGEST, GPU_PROFILES
from support.chart_values import leaves, merged, nested
from support.helm import PROMETHEUS, REPOSITORY, Values, chart, render

PAGE = REPOSITORY / "docs" / "chart-values.md"
PLACE: Final[Mapping[str, Any]] = {
    "serviceAccount.create": False,
    "serviceAccount.name": "mine",
    "serviceAccount.annotations": {"a": "b"},
    "replicas": 3,
    "logLevel": "debug",
    "extraEnv": [{"name": "A", "value": "b"}],
    "resources": {"requests": {"cpu": "2"}},
    "podLabels": {"a": "b"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAffinity": {}},
    "priorityClassName": "high",
}
OTHER: Final[Mapping[str, Any]] = {
    "nameOverride": "models",
    "fullnameOverride": "llm",
    "commonLabels": {"a": "b"},
    "commonAnnotations": {"a": "b"},
    "images.registry": "r.example",
    "images.pullPolicy": "Never",
    "images.pullSecrets": ["a"],
    **{f"images.{image}.repository": "a/b" for image in ("operator", "runtime", "runtimeGpu")},
    **{f"images.{image}.tag": "9" for image in ("operator", "runtime", "runtimeGpu")},
    **{f"images.{image}.digest": DIGEST for image in ("operator", "runtime", "runtimeGpu")},
    "cache.existingClaim": "weights",
    "cache.size": "1Ti",
    "cache.storageClassName": "nfs",
    "cache.accessModes": ["ReadWriteMany"],
    "cache.volumeName": "disk",
    "cache.annotations": {"a": "b"},
    "cache.keep": False,
    "cache.limit": "80Gi",
    "cache.keeper": "berlin",
    "huggingface.token": "hf_x",
    "huggingface.existingSecret.name": "hub",
    "huggingface.existingSecret.key": "token",
    "huggingface.endpoint": "https://mirror.example.com",
    "huggingface.offline": True,
    "fetch.extraEnv": [{"name": "A", "value": "b"}],
    "fetch.resources": {"requests": {"cpu": "2"}},
    "gpuProfiles": GPU_PROFILES,
    "baseUrl": "https://m.example",
    "runtime.maxLoadedModels": 3,
    "runtime.port": 9000,
    "runtime.drainDelaySeconds": 7,
    "runtime.drainTimeoutSeconds": 7,
    **{f"operator.{name}": value for name, value in PLACE.items()},
    "operator.leaseSeconds": 30,
    "operator.resyncSeconds": 30,
    "operator.heartbeatSeconds": 0.5,
    **{f"router.{name}": value for name, value in PLACE.items()},
    "router.jsonLogs": True,
    "router.metrics": False,
    "router.apiKeys.existingSecret.name": "keys",
    "router.apiKeys.existingSecret.key": "all",
    "router.corsOrigins": ["*"],
    "router.defaultModel": "smollm2",
    "router.holdTimeoutSeconds": 60,
    "router.maxHeldPerModel": 9,
    "router.maxHeldTotal": 9,
    "router.maxConnections": 9,
    "router.maxBodyBytes": 9,
    "router.drainDelaySeconds": 9,
    "router.drainTimeoutSeconds": 9,
    "router.service.type": "NodePort",
    "router.service.port": 8080,
    "router.service.nodePort": 30080,
    "router.service.annotations": {"a": "b"},
    "router.service.loadBalancerClass": "a/b",
    "router.service.loadBalancerSourceRanges": ["10.0.0.0/8"],
    "router.ingress.enabled": True,
    "router.ingress.className": "nginx",
    "router.ingress.annotations": {"a": "b"},
    "router.ingress.hosts": ["m.example"],
    "router.ingress.tls": [{"secretName": "tls"}],
    "router.httpRoute.enabled": True,
    "router.httpRoute.annotations": {"a": "b"},
    "router.httpRoute.parentRefs": [{"name": "other"}],
    "router.httpRoute.hostnames": ["m.example"],
    "router.httpRoute.timeouts": {"request": "0s"},
    "router.podDisruptionBudget.enabled": False,
    "router.podDisruptionBudget.maxUnavailable": "50%",
    "router.autoscaling.enabled": True,
    "router.autoscaling.minReplicas": 3,
    "router.autoscaling.maxReplicas": 9,
    "router.autoscaling.targetCPUUtilizationPercentage": 50,
    "router.topologySpreadConstraints": [{"maxSkew": 2}],
    "rbac.create": False,
    "rbac.aggregate": True,
    "podSecurityContext": {"fsGroup": 7},
    "containerSecurityContext": {"privileged": False},
    "networkPolicy.enabled": True,
    "networkPolicy.routerFrom": [{"podSelector": {}}],
    "networkPolicy.metricsFrom": [{"podSelector": {}}],
    "monitoring.enabled": True,
    "monitoring.interval": "5s",
    "monitoring.labels": {"a": "b"},
    "monitoring.rules": False,
}
# What must be there for a value, or those of a group, to mean something.
NEEDS: Final[Mapping[str, Values]] = {
    "huggingface.existingSecret.key": nested("huggingface.existingSecret.name", "hub"),
    "router.apiKeys.existingSecret.key": nested("router.apiKeys.existingSecret.name", "keys"),
    "router.ingress.enabled": {},
    "router.ingress.": nested("router.ingress.enabled", True),
    "router.httpRoute.enabled": nested("router.httpRoute.parentRefs", [{"name": "public"}]),
    "router.httpRoute.": nested("router.httpRoute", {"enabled": True, "parentRefs": [{"name": "public"}]}),
    "router.autoscaling.enabled": {},
    "router.autoscaling.": nested("router.autoscaling.enabled", True),
    "networkPolicy.enabled": {},
    "networkPolicy.": nested("networkPolicy.enabled", True),
    "monitoring.enabled": {},
    "monitoring.": nested("monitoring.enabled", True),
}


def test_every_value_is_tried() -> None:
    assert {path for path, _ in leaves(chart().values)} == set(OTHER)


@pytest.mark.parametrize("path", OTHER)
def test_every_value_does_something(path: str) -> None:
    before = next((needed for prefix, needed in NEEDS.items() if path.startswith(prefix)), {})
    after = merged(before, nested(path, OTHER[path]))
    assert render(before, apis=[PROMETHEUS]).objects != render(after, apis=[PROMETHEUS]).objects


def documented() -> dict[str, Any]:
    """Path and default of each row of the page's tables."""
    rows = re.findall(r"^\| `([A-Za-z0-9.]+)` \| `([^`]*)` \| (.+) \|$", PAGE.read_text(), flags=re.MULTILINE)
    assert all(meaning.strip() for _, _, meaning in rows)
    assert len(rows) == len({path for path, _, _ in rows})
    return {path: json.loads(default) for path, default, _ in rows}


def test_the_page_has_every_value_with_its_default() -> None:
    assert documented() == dict(leaves(chart().values))
