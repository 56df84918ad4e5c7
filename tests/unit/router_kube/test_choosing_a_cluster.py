"""Which cluster and namespace `hfmodel-router --kubernetes` serves, and how it says that it cannot."""

from pathlib import Path

import pytest
import yaml

from hfmodel_router.kube import connect
from hfmodel_router.kube.connect import kube_fleet
from hfmodel_router.kube.errors import NoCluster
from hfmodel_router.main import main
from support.router_objects import model_json
from support.scripted_runtime import respond, scripted_runtime


@pytest.fixture(autouse=True)
def no_kubeconfig_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(connect, "_USERS_KUBECONFIG", tmp_path / "none")


def kubeconfig(folder: Path, *, server: str = "http://127.0.0.1:1", namespace: str = "") -> str:
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": context}],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.parametrize(
    ("named", "variable", "in_context", "served"),
    [
        ("mine", "theirs", "context", "mine"),
        (None, "theirs", "context", "theirs"),
        (None, "", "context", "context"),
        (None, "", "", "default"),
    ],
    ids=["option", "variable", "context", "nothing"],
)
async def test_the_namespace(tmp_path: Path, named: str | None, variable: str, in_context: str, served: str) -> None:
    empty = respond({"metadata": {"resourceVersion": "1"}, "items": []})
    async with scripted_runtime(empty) as server:
        config = kubeconfig(tmp_path, server=server.url, namespace=in_context)
        async with kube_fleet(named, {"KUBECONFIG": config, "WATCH_NAMESPACE": variable}) as fleet:
            await fleet.synced()
    assert all(f"/namespaces/{served}/" in request.path for request in server.received)
    assert server.received[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(("variable", "known"), [("present", True), ("", False)])
async def test_a_token_of_the_installation_is_known_by_a_variable(tmp_path: Path, variable: str, known: bool) -> None:
    documents = respond({"metadata": {"resourceVersion": "1"}, "items": [model_json()]})
    async with scripted_runtime(documents) as server:
        config = kubeconfig(tmp_path, server=server.url)
        async with kube_fleet(None, {"KUBECONFIG": config, "HFMODEL_HUB_TOKEN": variable}) as fleet:
            await fleet.synced()
            assert fleet.catalogue()["smol"].has_token is known


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "no cluster is configured"),
        ({"KUBECONFIG": "/nowhere"}, "cannot be used"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}, "cannot be used"),
    ],
    ids=["nothing", "a kubeconfig that is missing", "a pod without a token"],
)
async def test_no_usable_cluster_is_one_sentence(environment: dict[str, str], says: str) -> None:
    with pytest.raises(NoCluster, match=says):
        async with kube_fleet(None, environment):
            pass


async def test_several_namespaces_are_refused(tmp_path: Path) -> None:
    environment = {"KUBECONFIG": kubeconfig(tmp_path), "WATCH_NAMESPACE": "one,two"}
    with pytest.raises(NoCluster, match="exactly one"):
        async with kube_fleet(None, environment):
            pass


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kubernetes", "--backend", "a=http://b"], "takes no --backend"),
        (["--namespace", "ns"], "goes with --kubernetes"),
    ],
    ids=["with a backend", "a namespace alone"],
)
def test_options_that_do_not_go_together(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err
