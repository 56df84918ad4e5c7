"""What the build makes of the source tree before and while it compiles."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.golang import KubernetesTree

VALIDATE = "vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go"
REFLECT2 = "github.com/modern-go/reflect2"
TAGGED = "// +k8s:openapi-gen=true\npackage a\n"


class Recorder:
    """A Runner that only notes the commands and the environment of the last one."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.env: Mapping[str, str] = {}

    def __call__(self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        self.commands.append(list(command))
        self.env = env or {}
        return ""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def run() -> Recorder:
    return Recorder()


@pytest.fixture
def tree(tmp_path: Path, run: Recorder) -> KubernetesTree:
    tree = KubernetesTree(work=tmp_path, system=tmp_path / "system", version="v1.20.2", run=run, jobs=2)
    write(tree.system / "usr/share/gocode/src" / REFLECT2 / "new.go", "new")
    write(tree.path / "vendor" / REFLECT2 / "stale.go", "old")
    zero = "reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data))"
    write(tree.path / VALIDATE, f"\tif data == nil || {zero} {{\n")
    return tree


def test_vendored_code_is_mended_for_the_compiler_once(tree: KubernetesTree) -> None:
    for _ in range(2):
        tree.adapt_to_compiler()
        assert [file.name for file in (tree.path / "vendor" / REFLECT2).iterdir()] == ["new.go"]
        assert (tree.path / VALIDATE).read_text() == "\tif data == nil {\n"


def test_sources_of_another_version_are_not_mended_blindly(tree: KubernetesTree) -> None:
    (tree.path / VALIDATE).write_text("something else")
    with pytest.raises(ClusterError, match=r"type\.go is not the file that Kubernetes v1\.20\.2 has"):
        tree.adapt_to_compiler()


def test_openapi_code_is_generated_for_every_tagged_folder(tree: KubernetesTree, run: Recorder) -> None:
    write(tree.path / "pkg/apis/core/doc.go", TAGGED)
    write(tree.path / "pkg/apis/plain/doc.go", "package plain\n")
    write(tree.path / "staging/src/k8s.io/api/core/v1/doc.go", TAGGED)
    write(tree.path / "vendor/k8s.io/sample-apiserver/doc.go", TAGGED)
    (tree.path / "vendor/k8s.io/api").symlink_to("../../staging/src/k8s.io/api")
    tree.generate_openapi()
    generate = run.commands[-1]
    inputs = generate[generate.index("-i") + 1].split(",")
    assert inputs == ["k8s.io/kubernetes/pkg/apis/core", "k8s.io/kubernetes/vendor/k8s.io/api/core/v1"]


def test_commands_are_compiled_as_the_version_they_are(tree: KubernetesTree, run: Recorder, tmp_path: Path) -> None:
    tree.build(["kubectl", "kubelet"], tmp_path / "bin")
    command = run.commands[-1]
    assert command[-2:] == ["k8s.io/kubernetes/cmd/kubectl", "k8s.io/kubernetes/cmd/kubelet"]
    flags = command[command.index("-ldflags") + 1]
    for package in ("component-base/version", "client-go/pkg/version"):
        assert f"-X k8s.io/kubernetes/vendor/k8s.io/{package}.gitVersion=v1.20.2" in flags
        assert f"-X k8s.io/kubernetes/vendor/k8s.io/{package}.gitMinor=20" in flags
    assert run.env["GO111MODULE"] == "off"
    assert run.env["GOCACHE"].startswith(str(tmp_path))
