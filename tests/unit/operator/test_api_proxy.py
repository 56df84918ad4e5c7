"""The way to the API server through a proxy, as the environment says; looked up once."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from hfmodel_operator.cluster.api import kube_api

SERVER = "https://kube.example:6443"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    content = {
        "clusters": [{"name": "c", "cluster": {"server": SERVER}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [context],
        "current-context": "c",
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"https_proxy": "http://proxy:3128"}, "http://proxy:3128", id="one for https"),
        pytest.param({"http_proxy": "http://proxy:3128"}, None, id="one for http alone"),
        pytest.param({"https_proxy": "http://proxy:3128", "no_proxy": ".example"}, None, id="not for this server"),
    ],
)
async def test_the_environment_says_which(
    environment: Mapping[str, str], proxy: str | None, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with kube_api("models", kubeconfig=kubeconfig) as api:
        assert api._api.rest_client.proxy == proxy
