"""Every call of the server that this project replaces, with its paths and fields."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from hfmodel_api.spec import ModelType
from hfmodel_api.status import CacheStatus, Phase
from support.fake_fleet import FakeFleet, model
from support.polling import until
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import INFO, ScriptedRuntime, respond, scripted_runtime

ROW = {
    "name",
    "type",
    "size",
    "description",
    "max_length",
    "suggested_temperature",
    "gated",
    "loaded",
    "loading",
    "device",
    "last_used",
}


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet(
        model("gpt2-small", type=ModelType.TEXT, size="124M", max_length=1024, suggested_temperature=0.8),
        model("dialogpt-small", type=ModelType.CONVERSATIONAL, description="Chats"),
        model("llama-3.2-1b", type=ModelType.TEXT, gated=True),
    )


@pytest.fixture
async def pod(fleet: FakeFleet) -> AsyncIterator[ScriptedRuntime]:
    """Serves gpt2-small; the others sleep."""
    async with scripted_runtime(respond({"ok": True})) as runtime:
        fleet.serve("gpt2-small", runtime.url)
        yield runtime


async def _get(router: RunningRouter, path: str, *, status: int = 200) -> Any:
    async with router.http.get(path) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def _post(router: RunningRouter, path: str, *, status: int = 200, **options: Any) -> Any:
    async with router.http.post(path, **options) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def test_root_names_docs_and_health(router: RunningRouter) -> None:
    body = await _get(router, "/")
    assert set(body) == {"message", "version", "docs", "health"}
    assert (body["docs"], body["health"]) == ("/docs", "/health")


@pytest.mark.usefixtures("pod")
async def test_health_counts_models_and_shows_the_machine(router: RunningRouter) -> None:
    body = await _get(router, "/health")
    assert body["status"] == "healthy"
    assert body["loaded_models"] == ["gpt2-small"]
    assert body["total_models_available"] == 3
    assert body["system_info"]["cuda_available"] is True
    assert body["system_info"]["cuda_devices"] == 1
    assert 0 < body["system_info"]["memory_used_percent"] <= 100


@pytest.mark.usefixtures("pod")
async def test_system_shows_versions_devices_and_memory(router: RunningRouter) -> None:
    body = await _get(router, "/system")
    assert body["python_version"].startswith("3.")
    assert body["torch_version"] == "2.13.0"
    assert body["cuda_devices"] == [{"name": "NVIDIA Test", "model_id": "smollm2", "memory_total_gb": 80.0}]
    assert body["cpu_count"] >= 1
    assert body["memory_total_gb"] >= body["memory_available_gb"] > 0


@pytest.mark.usefixtures("pod")
async def test_models_are_listed_by_id_in_their_order(fleet: FakeFleet, router: RunningRouter) -> None:
    used = datetime(2026, 1, 2, tzinfo=UTC)
    fleet.change("gpt2-small", last_active=used, resolved_revision="abc")
    fleet.change("llama-3.2-1b", phase=Phase.STARTING, message="fetching", cache=CacheStatus(bytes=5, total_bytes=10))
    body = await _get(router, "/models")
    assert list(body) == ["gpt2-small", "dialogpt-small", "llama-3.2-1b"]
    loaded, asleep, loading = body.values()
    assert set(loaded) >= ROW
    assert {key: loaded[key] for key in ("name", "type", "size", "max_length", "suggested_temperature")} == {
        "name": "acme/gpt2-small",
        "type": "text",
        "size": "124M",
        "max_length": 1024,
        "suggested_temperature": 0.8,
    }
    assert (loaded["loaded"], loaded["loading"], loaded["device"]) == (True, False, "cuda:0")
    assert datetime.fromisoformat(loaded["last_used"]) == used
    assert (loaded["phase"], loaded["replicas"], loaded["eta_seconds"], loaded["revision"]) == ("Ready", 1, 0, "abc")
    assert (asleep["loaded"], asleep["loading"], asleep["last_used"], asleep["phase"]) == (
        False,
        False,
        None,
        "Asleep",
    )
    assert (loading["loading"], loading["gated"], loading["message"]) == (True, True, "fetching")
    assert loading["cache"]["total_bytes"] == 10


@pytest.mark.usefixtures("pod")
async def test_loaded_models(router: RunningRouter) -> None:
    assert await _get(router, "/models/loaded") == {"loaded_models": ["gpt2-small"]}


async def test_models_of_a_type(router: RunningRouter) -> None:
    body = await _get(router, "/models/types/text")
    assert (body["model_type"], list(body["models"])) == ("text", ["gpt2-small", "llama-3.2-1b"])


@pytest.mark.parametrize("kind", ["code", "nonsense"])
async def test_a_type_without_models_is_a_404(router: RunningRouter, kind: str) -> None:
    assert kind in (await _get(router, f"/models/types/{kind}", status=404))["detail"]


async def test_gated_models_and_no_part_of_the_token(fleet: FakeFleet, router: RunningRouter) -> None:
    body = await _get(router, "/models/gated")
    assert body["gated_models"] == ["llama-3.2-1b"]
    assert set(body["models_detail"]["llama-3.2-1b"]) >= ROW
    assert body["auth_status"]["token_preview"] is None
    fleet.change("llama-3.2-1b", has_token=True)
    assert await _get(router, "/auth/status") == {
        "has_token": True,
        "token_preview": "***",
        "gated_models_count": 1,
        "gated_models": ["llama-3.2-1b"],
    }


@pytest.mark.usefixtures("pod")
async def test_info_of_a_loaded_model_has_its_memory(router: RunningRouter) -> None:
    body = await _get(router, "/models/gpt2-small/info")
    assert set(body) >= ROW | {"model_id"}
    assert body["model_id"] == "gpt2-small"
    assert body["memory_usage"] == INFO["memory_usage"]
    assert body["access_url"] is None


async def test_info_of_a_gated_model_says_where_to_ask_for_access(router: RunningRouter) -> None:
    body = await _get(router, "/models/llama-3.2-1b/info")
    assert body["access_url"] == "https://huggingface.co/acme/llama-3.2-1b"
    assert body["auth_status"]["has_token"] is False
    assert body["memory_usage"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models/nobody/info"),
        ("POST", "/models/nobody/load"),
        ("POST", "/models/nobody/unload"),
        ("POST", "/models/nobody/generate"),
        ("POST", "/models/nobody/chat"),
    ],
)
async def test_an_unknown_id_is_a_404_that_names_some(router: RunningRouter, method: str, path: str) -> None:
    async with router.http.request(method, path, json={} if method == "POST" else None) as response:
        assert response.status == 404
        body = await response.json()
    assert body["code"] == "model_not_found"
    assert "'nobody'" in body["detail"]
    assert "dialogpt-small" in body["detail"]


@pytest.mark.parametrize("body", [None, {}, {"force_reload": False}], ids=["no body", "empty", "not forced"])
async def test_load_answers_when_the_model_is_ready(
    fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime, body: object
) -> None:
    fleet.on_want = lambda model_id: fleet.serve(model_id, pod.url)
    answer = await _post(router, "/models/dialogpt-small/load", json=body)
    assert answer == {
        "message": "Model dialogpt-small loaded successfully",
        "model_id": "dialogpt-small",
        "force_reload": False,
    }
    assert fleet.wants == ["dialogpt-small"]


async def test_load_without_waiting_answers_at_once_and_goes_on(fleet: FakeFleet, router: RunningRouter) -> None:
    answer = await _post(router, "/models/dialogpt-small/load?wait=false")
    assert "being loaded" in answer["message"]
    await fleet.wanted.wait()


async def test_load_of_a_loaded_model_wants_nothing(
    fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime
) -> None:
    assert (await _post(router, "/models/gpt2-small/load"))["model_id"] == "gpt2-small"
    assert fleet.wants == []


async def test_a_forced_reload_lets_the_model_go_first(
    fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime
) -> None:
    async with scripted_runtime(respond({})) as fresh:
        fleet.on_release = lambda model_id: fleet.serve(model_id)
        fleet.on_want = lambda model_id: fleet.serve(model_id, fresh.url)
        answer = await _post(router, "/models/gpt2-small/load", json={"force_reload": True})
    assert answer["force_reload"] is True
    assert (fleet.releases, fleet.wants) == (["gpt2-small"], ["gpt2-small"])


async def test_a_forced_reload_of_a_model_that_never_rests_times_out(
    fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime
) -> None:
    body = await _post(
        router,
        "/models/gpt2-small/load",
        json={"force_reload": True},
        headers={"x-hfmodel-hold-timeout": "0.02"},
        status=504,
    )
    assert "still works" in body["detail"]


async def test_a_load_that_takes_too_long_is_a_504(router: RunningRouter) -> None:
    headers = {"x-hfmodel-hold-timeout": "0.02"}
    assert (await _post(router, "/models/dialogpt-small/load", headers=headers, status=504))["code"] == "hold_timeout"


async def test_a_client_that_leaves_ends_its_load(fleet: FakeFleet, router: RunningRouter) -> None:
    loading = asyncio.create_task(_post(router, "/models/dialogpt-small/load"))
    await fleet.wanted.wait()
    loading.cancel()
    await until(lambda: b'hfmodel_router_held{model="dialogpt-small"} 0.0' in router.app.metrics.exposition())


@pytest.mark.parametrize(
    "body",
    [{"force_reload": "yes"}, {"force_relaod": True}, [1]],
    ids=["not a boolean", "unknown field", "not an object"],
)
async def test_a_bad_load_is_refused(fleet: FakeFleet, router: RunningRouter, body: object) -> None:
    answer = await _post(router, "/models/dialogpt-small/load", json=body, status=400)
    assert answer["code"] == "invalid_request"
    assert fleet.wants == []


async def test_unload(fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime) -> None:
    fleet.on_release = lambda model_id: fleet.serve(model_id)
    first = await _post(router, "/models/gpt2-small/unload")
    second = await _post(router, "/models/gpt2-small/unload")
    assert first["message"] == "Model gpt2-small unloaded successfully"
    assert second["message"] == "Model gpt2-small was not loaded"
    assert fleet.releases == ["gpt2-small"] * 2


async def test_unload_of_a_busy_model_says_that_it_goes_later(router: RunningRouter, pod: ScriptedRuntime) -> None:
    assert "as soon as" in (await _post(router, "/models/gpt2-small/unload"))["message"]


async def test_unload_all(fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime) -> None:
    fleet.serve("dialogpt-small", pod.url)
    fleet.on_release = lambda model_id: fleet.serve(model_id)
    body = await _post(router, "/admin/unload-all")
    assert body["unloaded_models"] == ["gpt2-small", "dialogpt-small"]
    assert body["message"] == "Unloaded 2 models"


async def test_unload_all_names_only_what_went(fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime) -> None:
    body = await _post(router, "/admin/unload-all")
    assert body["unloaded_models"] == []
    assert "1 still" in body["message"]


async def test_reload_config_looks_at_the_source_again(fleet: FakeFleet, router: RunningRouter) -> None:
    assert "3 models" in (await _post(router, "/admin/reload-config"))["message"]
    assert fleet.resyncs == 1


async def test_clear_gpu_memory_answers(router: RunningRouter) -> None:
    assert set(await _post(router, "/admin/clear-gpu-memory")) == {"message"}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [("/generate", {"text": "x"}, "gpt2-small"), ("/chat", {"message": "x"}, "dialogpt-small")],
)
async def test_calls_without_an_id_go_to_the_first_model_of_the_type(
    fleet: FakeFleet, router: RunningRouter, pod: ScriptedRuntime, path: str, body: object, expected: str
) -> None:
    fleet.serve("gpt2-small")
    fleet.on_want = lambda model_id: fleet.serve(model_id, pod.url)
    await _post(router, path, json=body)
    assert fleet.wants == [expected]


async def test_calls_without_an_id_are_a_404_where_no_model_has_the_type() -> None:
    async with running_router(FakeFleet(model(type=ModelType.CODE))) as router:
        for path, body in (("/generate", {"text": "x"}), ("/chat", {"message": "x"})):
            assert (await _post(router, path, json=body, status=404))["code"] == "model_not_found"


async def test_the_old_requests_client_works(fleet: FakeFleet, pod: ScriptedRuntime) -> None:
    def tour(url: str) -> list[int]:
        with requests.Session() as session:
            session.headers["Authorization"] = "Bearer s3cret"
            return [
                session.get(f"{url}/health").status_code,
                session.get(f"{url}/models").status_code,
                session.get(f"{url}/models/gpt2-small/info").status_code,
                session.post(f"{url}/models/gpt2-small/load").status_code,
                session.post(f"{url}/models/gpt2-small/generate", json={"text": "x"}).status_code,
                session.post(f"{url}/models/gpt2-small/unload").status_code,
            ]

    async with running_router(fleet, api_keys=("s3cret",)) as router:
        assert await asyncio.to_thread(tour, router.url) == [200] * 6


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_documentation_pages_need_nothing_from_elsewhere(router: RunningRouter, page: str) -> None:
    async with router.http.get(page) as response:
        html = await response.text()
    assets = re.findall(r"""(?:src|href)="([^"]+)\"""", html)
    assert [asset for asset in assets if not asset.startswith("/docs-assets/")] == []
    for asset in assets:
        async with router.http.get(asset) as response:
            assert response.status == 200, asset


async def test_docs_say_what_each_call_does(router: RunningRouter) -> None:
    document = await _get(router, "/openapi.json")
    operations = {path: operation for path, item in document["paths"].items() for operation in item.values()}
    assert [path for path, operation in operations.items() if len(operation["summary"].split()) < 3] == []
    assert next(iter(operations)) == "/models/{model_id}/generate"


async def test_docs_show_every_call(router: RunningRouter) -> None:
    document = await _get(router, "/openapi.json")
    assert set(document["paths"]) == {
        "/",
        "/health",
        "/system",
        "/models",
        "/models/loaded",
        "/models/gated",
        "/models/types/{model_type}",
        "/models/{model_id}/info",
        "/models/{model_id}/load",
        "/models/{model_id}/unload",
        "/models/{model_id}/generate",
        "/models/{model_id}/chat",
        "/generate",
        "/chat",
        "/auth/status",
        "/admin/reload-config",
        "/admin/clear-gpu-memory",
        "/admin/unload-all",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/completions",
        "/v1/chat/completions",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    schemas = document["components"]["schemas"]
    assert "temperature" in schemas["GenerateRequest"]["properties"]
    references = {text for text in str(document).split("'") if text.startswith("#/components/schemas/")}
    assert {reference.rpartition("/")[2] for reference in references} <= set(schemas)
