"""An HFModel's life on a real node: applied, asked, asleep, woken, changed, removed."""

import json
import threading
from collections.abc import Iterator

import httpx
import httpx2
import openai
import pytest

from support.installation import ANSWER, Installation
from support.steady_caller import SteadyCallers

pytestmark = pytest.mark.e2e

MODEL = "smollm2"


@pytest.fixture(scope="module")
def model(installation: Installation) -> Iterator[str]:
    """SmolLM2, applied, downloaded, asleep or serving."""
    installation.apply(MODEL, scaling={"idleTimeout": "1h"})
    installation.wait_until_healthy(MODEL)
    yield MODEL
    installation.delete(MODEL)


def test_an_applied_model_is_downloaded_and_sleeps(installation: Installation, model: str) -> None:
    status = installation.status(model)
    assert status["cache"]["bytes"] == status["cache"]["totalBytes"] > 0
    assert status["resolvedRevision"]
    assert status["url"].endswith(f"/models/{model}")


def test_it_answers_through_the_routers_service(installation: Installation, model: str) -> None:
    answer = installation.generate(model)
    assert answer.status_code == 200, answer.text
    assert ANSWER in answer.json()["generated_text"][0]
    # The router needs no status to answer, and may be before it.
    installation.kubectl.until("its status says so", lambda: installation.is_in_phase(model, "Ready"))


def test_the_openai_client_streams_from_it(installation: Installation, model: str) -> None:
    client = openai.OpenAI(
        base_url=f"{installation.url}/v1", api_key="unused", http_client=httpx2.Client(trust_env=False)
    )
    question = "What is the capital of France?"
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=24, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(pieces) > 3
    assert ANSWER in "".join(pieces)


def test_its_pod_keeps_the_restricted_standard_and_no_token(installation: Installation, model: str) -> None:
    installation.generate(model)
    (pod,) = installation.pods(model)
    name = pod["metadata"]["name"]
    who = installation.kubectl("exec", name, "--container=serve", "--", "id", "-u").strip()
    assert who == "65532"
    environment = installation.kubectl("exec", name, "--container=serve", "--", "env")
    assert "HF_TOKEN" not in environment
    refused = installation.kubectl(
        "exec", name, "--container=serve", "--", "sh", "-c", "touch /cache/x 2>&1 || touch /opt/x 2>&1 || echo refused"
    )
    assert refused.strip().endswith("refused")


def test_kubectl_shows_what_a_person_looks_for(installation: Installation, model: str) -> None:
    header, line = installation.kubectl("get", "hfm", model).splitlines()
    assert header.split() == ["TYPE", "PHASE", "READY", "MODEL", "LAST", "ACTIVE", "AGE"] or header.startswith("NAME")
    assert "instruction" in line
    described = installation.kubectl("describe", "hfm", model)
    assert {"Accepted", "Cached", "Ready"} <= set(described.split())


def test_a_changed_spec_is_rolled_out_without_a_failed_request(installation: Installation, model: str) -> None:
    installation.generate(model)
    (old,) = installation.pods(model)
    url, body = f"{installation.url}/models/{model}/generate", {"text": "The capital of France is", "do_sample": False}
    with SteadyCallers(url, {**body, "max_new_tokens": 8}) as callers:
        patch = {"spec": {"maxLength": 512}}
        installation.kubectl("patch", "hfm", model, "--type=merge", f"--patch={json.dumps(patch)}")

        def replaced() -> bool:
            names = [pod["metadata"]["uid"] for pod in installation.pods(model)]
            return len(names) == 1 and names[0] != old["metadata"]["uid"]

        installation.kubectl.until("the pod is replaced", replaced, seconds=240)
        answered = len(callers.answers)
        installation.kubectl.until("the new one answers", lambda: len(callers.answers) > answered + 2)
    assert callers.failures == []
    assert all(ANSWER in answer["generated_text"][0] for answer in callers.answers)


def test_an_idle_model_loses_its_pod_and_wakes_for_those_who_ask(installation: Installation) -> None:
    installation.apply("sleeper", scaling={"idleTimeout": "3s"})
    installation.wait_until_healthy("sleeper")
    assert ANSWER in installation.generate("sleeper").json()["generated_text"][0]
    installation.kubectl.until("its pod is gone", lambda: not installation.pods("sleeper"), seconds=120)
    installation.kubectl.until("it sleeps", lambda: installation.is_in_phase("sleeper", "Asleep"))

    answers: list[httpx.Response] = []
    callers = [
        threading.Thread(target=lambda: answers.append(installation.generate("sleeper")), daemon=True)
        for _ in range(20)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [answer.status_code for answer in answers] == [200] * 20
    assert all(ANSWER in answer.json()["generated_text"][0] for answer in answers)
    assert all(float(answer.headers["x-hfmodel-held-seconds"]) > 0 for answer in answers)
    installation.delete("sleeper")


def test_a_deleted_model_leaves_nothing(installation: Installation) -> None:
    installation.apply("brief", scaling={"minReplicas": 1})
    installation.kubectl.until("it is ready", lambda: installation.is_in_phase("brief", "Ready"), seconds=240)
    installation.delete("brief")

    def left() -> list[str]:
        found = installation.kubectl("get", "hfmodels,pods,jobs,configmaps,secrets", "--output=name").splitlines()
        return [name for name in found if "brief" in name]

    installation.kubectl.until("nothing of it is left", lambda: not left(), seconds=120)
    answer = installation.generate("brief")
    assert answer.status_code == 404, answer.text


def test_a_model_removed_from_a_kustomization_is_pruned(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("catalog")
    for name in ("kept", "dropped"):
        manifest = installation.manifest(name, cache={"prefetch": False})
        (folder / f"{name}.yaml").write_text(json.dumps(manifest))

    def sync(*names: str) -> None:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{name}.yaml" for name in names],
            "commonLabels": {"app.kubernetes.io/part-of": "catalog"},
        }
        (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
        # Renamed in kubectl 1.26.
        kinds = (
            "--prune-allowlist"
            if "--prune-allowlist" in installation.kubectl("apply", "--help")
            else "--prune-whitelist"
        )
        selector = ("--prune", "--selector=app.kubernetes.io/part-of=catalog", f"{kinds}=hfmodel.dev/v1alpha1/HFModel")
        installation.kubectl("apply", f"--kustomize={folder}", *selector)

    sync("kept", "dropped")
    installation.kubectl.until("both are known", lambda: installation.is_in_phase("dropped", "Asleep"))
    sync("kept")
    assert installation.kubectl.get("hfmodel", "dropped") is None
    assert installation.kubectl.get("hfmodel", "kept") is not None
    installation.delete("kept")
