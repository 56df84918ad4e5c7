"""The old server's environment, in place of options: keys, origins, limits, the model to begin with."""

import time
from collections.abc import Iterator

import httpx
import pytest

from support.old_server import Stand, up_in_its_place

pytestmark = pytest.mark.slow

KEY = "s3cret"
TOKEN = "hf_abcdefgh1234"
BEARER = {"Authorization": f"Bearer {KEY}"}
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    environment = {
        "API_KEY": KEY,
        "HF_TOKEN": TOKEN,
        "CORS_ORIGINS": "*",
        "DEFAULT_MODEL": "another-text",
        "MAX_CONCURRENT_MODELS": "2",
        "AUTO_UNLOAD_MINUTES": "0.05",
        "ENABLE_METRICS": "false",
        "LOG_LEVEL": "INFO",
        "WORKERS": "4",
        # Where it would look for the gated repo.
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    with up_in_its_place(tmp_path_factory.mktemp("old"), environment) as server:
        yield server


def loaded(stand: Stand) -> list[str]:
    ids: list[str] = stand.http.get("/models/loaded", headers=BEARER).json()["loaded_models"]
    return ids


def wait_until(stand: Stand, ids: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while loaded(stand) != ids:
        assert time.monotonic() < deadline, f"{loaded(stand)} are loaded, not {ids}"
        time.sleep(0.05)


def test_the_default_model_is_loaded_at_the_start_and_idle_models_go(stand: Stand) -> None:
    wait_until(stand, ["another-text"])
    wait_until(stand, [])


def test_at_the_limit_the_least_recently_used_model_goes(stand: Stand) -> None:
    for model_id in ("gpt2-small", "codegen-350m", "flan-t5-small"):
        assert stand.http.post(f"/models/{model_id}/load", headers=BEARER).status_code == 200
        assert model_id in loaded(stand)
        assert len(loaded(stand)) <= 2


@pytest.mark.parametrize("headers", [BEARER, {"X-API-Key": KEY}], ids=["bearer", "X-API-Key"])
def test_a_key_in_a_header_opens(stand: Stand, headers: dict[str, str]) -> None:
    assert stand.http.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/models", {}), (f"/models?api_key={KEY}", {}), ("/models", {"X-API-Key": "wrong"})],
    ids=["no key", "the key in the URL", "a wrong key"],
)
def test_everything_else_is_refused(stand: Stand, path: str, headers: dict[str, str]) -> None:
    answer = stand.http.get(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", ["/", "/health", "/docs"])
def test_health_and_docs_need_no_key(stand: Stand, path: str) -> None:
    assert stand.http.get(path).status_code == 200


def test_no_part_of_the_token_is_shown(stand: Stand) -> None:
    answer: httpx.Response = stand.http.get("/auth/status", headers=BEARER)
    assert answer.json() == {
        "has_token": True,
        "token_preview": "***",
        "gated_models_count": 1,
        "gated_models": ["llama-3.2-1b"],
    }


def test_every_page_may_call_but_without_credentials(stand: Stand) -> None:
    headers = stand.http.get("/models", headers={**BEARER, "Origin": "https://a.example"}).headers
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers


def test_metrics_can_be_off(stand: Stand) -> None:
    assert stand.http.get("/metrics", headers=BEARER).status_code == 404
