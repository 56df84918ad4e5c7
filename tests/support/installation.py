"""hfmodel installed on a cluster, and what its users do there."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from hfmodel_api.names import API_VERSION, KIND, LABEL_MODEL
from support.chart_release import Site
from support.helm import Values
from support.kubectl import Json, Kubectl

SMOLLM2: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
# Greedy, so that every answer can be held to the same text.
QUESTION: Final[dict[str, Any]] = {"text": "The capital of France is", "max_new_tokens": 8, "do_sample": False}
ANSWER: Final = "Paris"
_ANSWER_SECONDS: Final = 240.0


def install(site: Site, values: Values, *, kubectl: Kubectl, hub: str) -> "Installation":
    """The chart in `site`, once operator and router are available; `hub` as in Installation."""
    site.install(values)
    wait_for_deployments(kubectl)
    return Installation(kubectl, _router_url(kubectl), hub)


def wait_for_deployments(kubectl: Kubectl) -> None:
    """Wait until every Deployment has rolled out what its spec says now."""
    for name in kubectl("get", "deployments", "--output=name").split():
        kubectl("rollout", "status", name, "--timeout=240s", timeout=250)


def _router_url(kubectl: Kubectl) -> str:
    """The address of the router's Service as this machine reaches it."""
    service = kubectl.get("service", "hfmodel-router")
    assert service is not None
    (port,) = service["spec"]["ports"]
    if "nodePort" not in port:
        return f"http://{service['spec']['clusterIP']}:{port['port']}"
    (node, *_) = kubectl.list("nodes")
    addresses = {each["type"]: each["address"] for each in node["status"]["addresses"]}
    return f"http://{addresses['InternalIP']}:{port['nodePort']}"


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of the chart: `url` is the router's Service, `hub` where models come from ("": the Hub itself)."""

    kubectl: Kubectl
    url: str
    hub: str

    def manifest(self, name: str, **spec: Any) -> Json:
        """An HFModel of SmolLM2."""
        given: Json = {"model": SMOLLM2, "type": "instruction", **spec}
        if self.hub:
            given.setdefault("source", {"hub": {"endpoint": self.hub}})
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": given}

    def apply(self, name: str, **spec: Any) -> None:
        self.kubectl.apply(self.manifest(name, **spec))

    def delete(self, name: str) -> None:
        self.kubectl("delete", "hfmodel", name, "--ignore-not-found", timeout=120)

    def wait_until_healthy(self, name: str) -> None:
        """As a script does it: in the cache, and asleep or serving."""
        self.kubectl("wait", "--for=condition=Ready", f"hfmodel/{name}", "--timeout=240s", timeout=250)

    def status(self, name: str) -> Json:
        found = self.kubectl.get("hfmodel", name)
        return (found or {}).get("status") or {}

    def condition(self, name: str, kind: str) -> Json:
        conditions = self.status(name).get("conditions") or ()
        return next((dict(found) for found in conditions if found["type"] == kind), {})

    def is_in_phase(self, name: str, phase: str) -> bool:
        return self.status(name).get("phase") == phase

    def has_reason(self, name: str, kind: str, reason: str) -> bool:
        return self.condition(name, kind).get("reason") == reason

    def pods(self, name: str) -> list[Json]:
        """The model's serving pods, also those that are going."""
        return self.kubectl.list("pods", **{LABEL_MODEL: name})

    def generate(self, name: str, **body: Any) -> httpx.Response:
        return httpx.post(
            f"{self.url}/models/{name}/generate", json={**QUESTION, **body}, timeout=_ANSWER_SECONDS, trust_env=False
        )
