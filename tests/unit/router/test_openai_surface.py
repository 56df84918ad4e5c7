"""OpenAI's side: the listing, how a model is named, and the shape of errors."""

from typing import Any

import pytest

from support.fake_fleet import FakeFleet, model
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import respond, scripted_runtime


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet(
        model("one", max_length=512), model("two", model="acme/shared"), model("three", model="acme/shared")
    )


async def _error(router: RunningRouter, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    async with router.http.request(method, path, **options) as response:
        body = await response.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return response.status, body["error"]


async def test_models_are_listed(router: RunningRouter) -> None:
    async with router.http.get("/v1/models") as response:
        body = await response.json()
    assert body["object"] == "list"
    assert body["data"][0] == {
        "id": "one",
        "object": "model",
        "created": 0,
        "owned_by": "acme",
        "root": "acme/one",
        "max_model_len": 512,
    }
    assert [each["id"] for each in body["data"]] == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["one", "acme/one"])
async def test_one_model_is_found_by_id_or_repo(router: RunningRouter, name: str) -> None:
    async with router.http.get(f"/v1/models/{name}") as response:
        assert (await response.json())["id"] == "one"


async def test_an_id_wins_over_another_models_repo() -> None:
    fleet = FakeFleet(model("gpt2", model="acme/tuned"), model("plain", model="gpt2"))
    async with running_router(fleet) as router, router.http.get("/v1/models/gpt2") as response:
        assert (await response.json())["id"] == "gpt2"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize(
    ("name", "status", "param"), [("nobody", 404, None), ("acme/shared", 400, "model"), ("", 404, None)]
)
async def test_a_model_that_cannot_be_told(
    router: RunningRouter, path: str, name: str, status: int, param: str | None
) -> None:
    found, error = await _error(router, "POST", path, json={"model": name})
    assert (found, error["param"], error["type"]) == (status, param, "invalid_request_error")
    if name == "acme/shared":
        assert "two, three" in error["message"]


async def test_unknown_paths_and_methods_have_the_shape_too(router: RunningRouter) -> None:
    assert (await _error(router, "GET", "/v1/nothing"))[0] == 404
    status, error = await _error(router, "GET", "/v1/completions")
    assert (status, error["code"]) == (405, "method_not_allowed")
    assert (await _error(router, "POST", "/v1/models"))[0] == 405


async def test_the_official_client_sees_typed_errors(fleet: FakeFleet, router: RunningRouter) -> None:
    openai = pytest.importorskip("openai")
    async with (
        scripted_runtime(respond({"error": {"message": "busy", "type": "server_error"}}, 429, retry_after=1)) as pod,
        openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0) as client,
    ):
        fleet.serve("one", pod.url)
        with pytest.raises(openai.NotFoundError, match="nobody"):
            await client.completions.create(model="nobody", prompt="x")
        with pytest.raises(openai.RateLimitError, match="busy"):
            await client.completions.create(model="one", prompt="x")
        assert [each.id async for each in client.models.list()] == ["one", "two", "three"]
