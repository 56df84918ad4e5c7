"""What an administrator tells the operator."""

from pathlib import Path

import pytest

from hfmodel_api.spec import EnvVar, Resources
from hfmodel_operator.cluster.settings import InvalidSettings, TokenSecret, settings_from_environment

PROXY = '{"name": "HTTPS_PROXY", "value": "http://u:hidden@p"}'
LEAST = {"WATCH_NAMESPACE": "models", "HFMODEL_RUNTIME_IMAGE": "runtime:1", "HFMODEL_CACHE_CLAIM": "cache"}


def test_little_has_to_be_said() -> None:
    settings = settings_from_environment({**LEAST, "POD_NAME": "operator-0"})
    assert (settings.namespace, settings.image, settings.cache_claim) == ("models", "runtime:1", "cache")
    assert (settings.identity, settings.max_loaded_models) == ("operator-0", None)


def test_a_pod_watches_its_own_namespace_unless_told() -> None:
    environment = {**LEAST, "WATCH_NAMESPACE": "", "POD_NAMESPACE": "own"}
    assert settings_from_environment(environment).namespace == "own"


def test_profiles_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("a100:\n  resourceName: nvidia.com/gpu\n  nodeSelector: {gpu: a100}\n  image: runtime:a100\n")
    settings = settings_from_environment({**LEAST, "HFMODEL_PROFILES": str(path)})
    profile = settings.profiles["a100"]
    assert (profile.node_selector, profile.image) == ({"gpu": "a100"}, "runtime:a100")


def test_gpus_may_have_an_image_of_their_own() -> None:
    assert settings_from_environment({**LEAST, "HFMODEL_RUNTIME_GPU_IMAGE": "runtime:gpu"}).gpu_image == "runtime:gpu"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param("hub", TokenSecret("hub", "HF_TOKEN"), id="a name"),
        pytest.param("hub/token", TokenSecret("hub", "token"), id="a name and a key"),
    ],
)
def test_the_token_of_the_installation(text: str, secret: TokenSecret) -> None:
    assert settings_from_environment({**LEAST, "HFMODEL_TOKEN_SECRET": text}).token_secret == secret


def test_a_fetch_may_have_a_mirror_variables_and_resources() -> None:
    own = settings_from_environment(LEAST)
    assert (own.hub_endpoint, own.hub_offline, own.fetch_env) == ("", False, ())
    assert own.fetch_resources == Resources(requests={"cpu": "100m", "memory": "512Mi"})
    given = {
        "HFMODEL_HUB_ENDPOINT": "https://mirror.example.com/",
        "HFMODEL_HUB_OFFLINE": "true",
        "HFMODEL_FETCH_ENV": '[{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {}}}]',
        "HFMODEL_FETCH_RESOURCES": "{}",
    }
    settings = settings_from_environment({**LEAST, **given})
    assert (settings.hub_endpoint, settings.hub_offline) == ("https://mirror.example.com", True)
    assert settings.fetch_env == (EnvVar(name="A", value="b"), EnvVar(name="C", value_from={"secretKeyRef": {}}))
    assert settings.fetch_resources == Resources()


def test_the_password_of_a_proxy_is_not_repeated() -> None:
    given = {"HFMODEL_FETCH_ENV": f'[{PROXY[:-1]}, "x": "hidden"}}]'}
    with pytest.raises(InvalidSettings) as caught:
        settings_from_environment({**LEAST, **given})
    assert str(caught.value).startswith("HFMODEL_FETCH_ENV: [0].x: ")
    assert "hidden" not in str(caught.value)
    right = settings_from_environment({**LEAST, "HFMODEL_FETCH_ENV": f"[{PROXY}]"})
    assert right.fetch_env[0].value == "http://u:hidden@p"
    assert "hidden" not in repr(right)


@pytest.mark.parametrize(
    ("environment", "keeper"),
    [
        pytest.param({}, "models/hfmodel-operator", id="its own"),
        pytest.param({"HFMODEL_LEASE_NAME": "other"}, "models/other", id="of another Lease"),
        pytest.param({"HFMODEL_CACHE_KEEPER": "berlin"}, "berlin", id="as told"),
    ],
)
def test_an_installation_has_a_name_among_those_that_share_the_cache(environment: dict[str, str], keeper: str) -> None:
    settings = settings_from_environment({**LEAST, **environment, "POD_NAME": "operator-0"})
    assert settings.keeper == keeper


def test_the_cache_may_have_a_limit() -> None:
    assert settings_from_environment(LEAST).cache_limit is None
    assert settings_from_environment({**LEAST, "HFMODEL_CACHE_LIMIT": "40Gi"}).cache_limit == 40 * 2**30


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param({"HFMODEL_RUNTIME_IMAGE": ""}, "HFMODEL_RUNTIME_IMAGE is not set", id="no image"),
        pytest.param({"HFMODEL_CACHE_CLAIM": " "}, "HFMODEL_CACHE_CLAIM is not set", id="no cache"),
        pytest.param({"WATCH_NAMESPACE": ""}, "WATCH_NAMESPACE is not set", id="no namespace"),
        pytest.param({"HFMODEL_MAX_LOADED_MODELS": "0"}, "HFMODEL_MAX_LOADED_MODELS: '0'", id="a limit of none"),
        pytest.param({"HFMODEL_CACHE_LIMIT": "much"}, "HFMODEL_CACHE_LIMIT: 'much' is not a size", id="no size"),
        pytest.param({"HFMODEL_CACHE_LIMIT": "0"}, "HFMODEL_CACHE_LIMIT: '0' is no size", id="a cache of nothing"),
        pytest.param({"HFMODEL_HEALTH_PORT": "70000"}, "HFMODEL_HEALTH_PORT: '70000'", id="no port"),
        pytest.param({"HFMODEL_HEARTBEAT_SECONDS": "nan"}, "HFMODEL_HEARTBEAT_SECONDS: 'nan'", id="no number"),
        pytest.param({"HFMODEL_HUB_ENDPOINT": "mirror"}, "HFMODEL_HUB_ENDPOINT: 'mirror' is not an", id="no address"),
        pytest.param({"HFMODEL_HUB_OFFLINE": "1"}, "HFMODEL_HUB_OFFLINE: '1' is not true or false", id="no flag"),
        pytest.param({"HFMODEL_FETCH_ENV": "A=b"}, "HFMODEL_FETCH_ENV: Invalid JSON", id="no list"),
        pytest.param(
            {"HFMODEL_FETCH_ENV": '[{"name": "A", "value": 1}]'}, "HFMODEL_FETCH_ENV: [0].value: ", id="no text"
        ),
        pytest.param(
            {"HFMODEL_FETCH_ENV": '[{"name": "HF_TOKEN", "value": "hf_x"}]'},
            "HFMODEL_FETCH_ENV: HF_TOKEN comes from a Secret",
            id="the token",
        ),
        pytest.param(
            {"HFMODEL_FETCH_ENV": '[{"name": "HFMODEL_CACHE_KEEP"}]'},
            "HFMODEL_FETCH_ENV: HFMODEL_CACHE_KEEP is set by the operator",
            id="what must stay",
        ),
        pytest.param(
            {"HFMODEL_FETCH_ENV": '[{"name": "A"}, {"name": "A"}]'}, "HFMODEL_FETCH_ENV: A is there twice", id="twice"
        ),
        pytest.param(
            {"HFMODEL_FETCH_RESOURCES": '{"limits": {"memory": "much"}}'},
            "HFMODEL_FETCH_RESOURCES: limits.memory: 'much' is not a quantity",
            id="no quantity",
        ),
        pytest.param({"HFMODEL_LOG_LEVEL": "loud"}, "HFMODEL_LOG_LEVEL: 'loud' is not one of", id="no level"),
        pytest.param({"HFMODEL_PROFILES": "/none.yaml"}, "HFMODEL_PROFILES: /none.yaml", id="no file"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        settings_from_environment({**LEAST, **environment})
    assert str(caught.value).startswith(says)


def test_a_misspelled_field_of_a_profile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("a100: {nodeselector: {}}\n")
    with pytest.raises(InvalidSettings, match=r"a100\.nodeselector: is not a field here"):
        settings_from_environment({**LEAST, "HFMODEL_PROFILES": str(path)})
