"""A service account with the rights that docs/operator.md says the operator needs, and no others."""

import re
from pathlib import Path
from typing import Any

import yaml

from hfmodel_operator.cluster.api import Json, KubeApi

_PAGE = Path(__file__).parents[2] / "docs" / "operator.md"
_NAME = "hfmodel-operator"
_RBAC = "rbac.authorization.k8s.io"


async def operator_kubeconfig(api: KubeApi, *, admin: Path, path: Path) -> None:
    """Write a kubeconfig of that account to `path`; `api` and `admin` are those of an administrator."""
    core, rbac = f"/api/v1/namespaces/{api.namespace}", f"/apis/{_RBAC}/v1/namespaces/{api.namespace}"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _NAME}}
    await api.call("POST", f"{core}/serviceaccounts", body=account)
    await api.call("POST", f"{rbac}/roles", body=documented_role())
    subject = {"kind": "ServiceAccount", "name": _NAME, "namespace": api.namespace}
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": _NAME},
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": _NAME},
        "subjects": [subject],
    }
    await api.call("POST", f"{rbac}/rolebindings", body=binding)
    request: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await api.call("POST", f"{core}/serviceaccounts/{_NAME}/token", body=request)
    _write_kubeconfig(path, like=admin, token=answer["status"]["token"])


def _write_kubeconfig(path: Path, *, like: Path, token: str) -> None:
    config: Any = yaml.safe_load(like.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))


def documented_role() -> Json:
    blocks = re.findall(r"```yaml\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return next(role for role in map(yaml.safe_load, blocks) if role.get("kind") == "Role")
