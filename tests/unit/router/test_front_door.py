"""Before a request is looked at: keys, origins, sizes, ids, paths; and what is left in log and metrics."""

import asyncio
import logging

import aiohttp
import pytest

from support.fake_fleet import FakeFleet
from support.polling import until
from support.running_router import RunningRouter, running_router
from support.scripted_runtime import END, EVENTS_HEAD, Received, chunk, respond, scripted_runtime

GENERATE = "/models/smollm2/generate"
BODY = {"text": "a secret question"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer first"}, 200),
        ({"authorization": "bearer second"}, 200),
        ({"x-api-key": "second"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Basic first"}, 401),
        ({"x-api-key": "firs"}, 401),
        ({"x-api-key": "schlüssel"}, 401),
        ({"authorization": "Basic eA==", "x-api-key": "first"}, 200),
    ],
)
async def test_a_key_is_asked_for(fleet: FakeFleet, headers: dict[str, str], status: int) -> None:
    async with running_router(fleet, api_keys=("first", "second")) as router:
        async with router.http.get("/models", headers=headers) as response:
            assert response.status == status
            if status == 401:
                assert response.headers["www-authenticate"] == "Bearer"
        async with router.http.post(GENERATE, data=b"bad", headers=headers) as response:
            assert response.status == (401 if status == 401 else 400)


async def test_a_key_in_the_url_does_not_count(fleet: FakeFleet) -> None:
    async with running_router(fleet, api_keys=("k3y",)) as router, router.http.get("/models?api_key=k3y") as response:
        assert response.status == 401


@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
async def test_what_needs_no_key(fleet: FakeFleet, path: str) -> None:
    async with running_router(fleet, api_keys=("first",)) as router, router.http.get(path) as response:
        assert response.status == 200


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.mark.parametrize(
    ("allowed", "origin", "echoed", "credentials"),
    [
        (("https://ui.example",), "https://ui.example", "https://ui.example", "true"),
        (("https://ui.example",), "https://evil.example", None, None),
        (("*",), "https://any.example", "*", None),
        (("*", "https://ui.example"), "https://ui.example", "https://ui.example", "true"),
        ((), "https://any.example", None, None),
    ],
    ids=["named", "not named", "anyone", "both", "off"],
)
async def test_credentials_go_with_named_origins_only(
    fleet: FakeFleet, allowed: tuple[str, ...], origin: str, echoed: str | None, credentials: str | None
) -> None:
    async with running_router(fleet, cors_origins=allowed, api_keys=("k",)) as router:
        for method, headers in (("OPTIONS", PREFLIGHT), ("POST", {}), ("GET", {})):
            async with router.http.request(method, GENERATE, headers={"origin": origin, **headers}) as response:
                assert response.headers.get("access-control-allow-origin") == echoed
                assert response.headers.get("access-control-allow-credentials") == credentials
                if method == "OPTIONS" and echoed:
                    assert response.status == 204
                    assert response.headers["access-control-allow-headers"] == "authorization"
                else:
                    assert response.status == 401


async def test_a_body_larger_than_the_limit_is_refused_by_its_length(fleet: FakeFleet, router: RunningRouter) -> None:
    async def body() -> object:
        for _ in range(50):
            yield b"x" * 1024 * 1024

    headers = {"content-length": str(50 * 1024 * 1024)}
    async with router.http.post(GENERATE, data=body(), headers=headers) as response:
        assert response.status == 413
        assert (await response.json())["code"] == "body_too_large"
    assert fleet.wants == []


@pytest.mark.parametrize("path", [GENERATE, "/v1/completions", "/models/smollm2/load"])
async def test_a_chunked_body_larger_than_the_limit_is_refused(
    fleet: FakeFleet, router: RunningRouter, path: str
) -> None:
    async def body() -> object:
        for _ in range(50):
            yield b"x" * 1024 * 1024

    async with router.http.post(path, data=body()) as response:
        assert response.status == 413
    assert fleet.wants == []


async def test_a_body_that_does_not_come_is_given_up(fleet: FakeFleet) -> None:
    never = asyncio.Event()

    async def body() -> object:
        yield b'{"text": '
        await never.wait()

    async with (
        running_router(fleet, body_timeout=0.02) as router,
        router.http.post(GENERATE, data=body()) as response,
    ):
        assert response.status == 400
        assert "did not arrive" in (await response.json())["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/models/smollm2", 404),
        ("POST", "/models/smollm2/generate/", 404),
        ("GET", GENERATE, 405),
        ("DELETE", "/models", 405),
        ("POST", "/models/../../etc/passwd/generate", 404),
        ("POST", "/models/%2F/generate", 404),
    ],
)
async def test_wrong_paths_and_methods_answer_in_json(
    router: RunningRouter, method: str, path: str, status: int
) -> None:
    async with router.http.request(method, path) as response:
        assert response.status == status
        assert "detail" in await response.json()
        if status == 405:
            assert response.headers["allow"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("job-7:a", True), ("x" * 129, False), ("two words", False), ("", False)],
)
async def test_every_answer_has_a_request_id(router: RunningRouter, given: str, kept: bool) -> None:
    for path in ("/models", "/nothing", GENERATE):
        async with router.http.get(path, headers={"x-request-id": given}) as response:
            shown = response.headers.getall("x-request-id")
            assert (shown == [given]) is kept
            assert len(shown[0]) >= 7


async def test_the_log_has_one_line_per_request_and_nothing_secret(
    fleet: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = {"generated_text": ["a secret answer"]}
    async with (
        running_router(fleet, api_keys=("k3y",)) as router,
        scripted_runtime(respond(answer, x_hfmodel_tokens="12 3")) as pod,
    ):
        fleet.serve("smollm2", pod.url)
        headers = {"authorization": "Bearer k3y", "x-request-id": "r-1"}
        async with router.http.post(f"{GENERATE}?key=k3y", json=BODY, headers=headers) as response:
            await response.read()
        await until(lambda: any(record.name == "hfmodel_router.request" for record in caplog.records))
    [record] = [record for record in caplog.records if record.name == "hfmodel_router.request"]
    fields = vars(record)["fields"]
    assert {
        name: fields[name]
        for name in ("request_id", "method", "path", "status", "model", "prompt_tokens", "answer_tokens")
    } == {
        "request_id": "r-1",
        "method": "POST",
        "path": GENERATE,
        "status": 200,
        "model": "smollm2",
        "prompt_tokens": "12",
        "answer_tokens": "3",
    }
    everything = " ".join(str(vars(each)) for each in caplog.records)
    assert "k3y" not in everything
    assert "secret" not in everything


@pytest.mark.parametrize("apart", [False, True], ids=["with the last event", "behind it"])
async def test_the_log_has_the_tokens_of_a_stream(
    fleet: FakeFleet, router: RunningRouter, caplog: pytest.LogCaptureFixture, apart: bool
) -> None:
    caplog.set_level(logging.INFO)
    last, tokens = b"data: [DONE]\n\n", b": tokens 12 3\n\n"

    async def events(request: Received) -> None:
        assert "x-hfmodel-tokens" in request.headers
        await request.write(EVENTS_HEAD)
        for part in (last, tokens) if apart else (last + tokens,):
            await request.write(chunk(part))
            await asyncio.sleep(0.01)
        await request.write(END)

    async with scripted_runtime(events) as pod:
        fleet.serve("smollm2", pod.url)
        async with router.http.post(GENERATE, json={**BODY, "stream": True}) as response:
            assert await response.read() == last
        await until(lambda: any(record.name == "hfmodel_router.request" for record in caplog.records))
    [record] = [record for record in caplog.records if record.name == "hfmodel_router.request"]
    fields = vars(record)["fields"]
    assert (fields["prompt_tokens"], fields["answer_tokens"]) == ("12", "3")


async def test_metrics_count_requests_by_model_call_and_status(fleet: FakeFleet, router: RunningRouter) -> None:
    async with scripted_runtime(respond({})) as pod:
        fleet.serve("smollm2", pod.url)
        for path in (GENERATE, GENERATE, "/models/nobody/generate", "/models/smollm2/info", "/etc/passwd"):
            method = "GET" if path.endswith(("info", "passwd")) else "POST"
            async with router.http.request(method, path, json=BODY if method == "POST" else None) as response:
                await response.read()
    async with router.http.get("/metrics") as response:
        text = await response.text()
    call = "/models/{model_id}/generate"
    assert f'requests_total{{code="200",model="smollm2",path="{call}"}} 2.0' in text
    assert f'requests_total{{code="404",model="",path="{call}"}} 1.0' in text
    assert 'requests_total{code="200",model="",path="/models/{model_id}/info"} 1.0' in text
    assert 'requests_total{code="404",model="",path="other"} 1.0' in text
    assert 'hfmodel_router_refused_total{reason="model_not_found"} 1.0' in text
    assert f'time_to_first_byte_seconds_count{{path="{call}"}} 2.0' in text
    assert 'hfmodel_router_in_flight{model="smollm2"} 0.0' in text


async def test_metrics_can_be_turned_off(fleet: FakeFleet) -> None:
    async with running_router(fleet, enable_metrics=False) as router, router.http.get("/metrics") as response:
        assert response.status == 404


async def test_a_bug_is_a_500_and_the_router_goes_on(
    fleet: FakeFleet, router: RunningRouter, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.bug = ZeroDivisionError()
    for method, path in (("POST", GENERATE), ("GET", "/models")):
        async with router.http.request(method, path, json=BODY) as response:
            assert response.status == 500
            assert (await response.json())["code"] == "engine_failed"
    fleet.bug = None
    async with router.http.get("/models") as response:
        assert response.status == 200
    assert "ZeroDivisionError" in caplog.text


async def test_a_client_that_leaves_before_its_answer_is_counted(fleet: FakeFleet, router: RunningRouter) -> None:
    with pytest.raises(TimeoutError):
        await router.http.post(GENERATE, json=BODY, timeout=aiohttp.ClientTimeout(total=0.05))
    await until(lambda: b'code="499",model="smollm2"' in router.app.metrics.exposition())
