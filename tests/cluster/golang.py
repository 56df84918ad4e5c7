"""Kubernetes' commands compiled from Debian's source package, in GOPATH mode.

Debian's tree is complete (vendor/ and staging/) but for two things: some of what it vendors is older than its Go
compiler can bear, and the OpenAPI code of kube-apiserver is generated at build time.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.commands import Runner
from cluster.errors import ClusterError

_PACKAGE: Final = "k8s.io/kubernetes"
_OPENAPI: Final = "pkg/generated/openapi"
_OPENAPI_TAG: Final = b"+k8s:openapi-gen="
_EMPTY_IS_NULL: Final = (
    "if data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data)) {"
)
_NIL_IS_NULL: Final = "if data == nil {"
_WITHOUT_OPENAPI: Final = ("code-generator", "sample-apiserver", "kube-openapi")
# --version answers from the first package, the server's /version from the second; one left out calls itself v0.0.0.
_VERSION_PACKAGES: Final = ("vendor/k8s.io/component-base/version", "vendor/k8s.io/client-go/pkg/version")


@dataclass(frozen=True, slots=True)
class KubernetesTree:
    """The source tree, in a GOPATH.

    Args:
        work: holds the GOPATH and the compiler's cache; may be deleted afterwards.
        system: where Debian's packages are unpacked (golang-1.19-go, -src, golang-github-modern-go-reflect2-dev).
        version: such as "v1.20.2"; what the commands answer to --version.
        run: starts commands.
        jobs: packages compiled at a time.
    """

    work: Path
    system: Path
    version: str
    run: Runner
    jobs: int

    @property
    def path(self) -> Path:
        return self.work / "gopath" / "src" / _PACKAGE

    @property
    def _goroot(self) -> Path:
        return self.system / "usr/lib/go-1.19"

    def adapt_to_compiler(self) -> None:
        """Mend what the vendored code takes for granted of the Go of its day.

        Raises:
            ClusterError: the sources are not the expected ones.
        """
        self._replace_reflect2()
        self._tell_empty_from_null()

    def _replace_reflect2(self) -> None:
        # The vendored one crashes in map iteration when built by Go 1.18 or later; Debian's own is newer.
        vendored = self.path / "vendor/github.com/modern-go/reflect2"
        # Replaced, not overlaid: a stale file would declare a symbol twice.
        shutil.rmtree(vendored, ignore_errors=True)
        shutil.copytree(self.system / "usr/share/gocode/src/github.com/modern-go/reflect2", vendored)

    def _tell_empty_from_null(self) -> None:
        # It compares values by their address, too. Newer Go gives all empty texts one address, so that "" would be
        # refused as null in every custom resource; no released server does that.
        path = self.path / "vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go"
        text = path.read_text()
        if _EMPTY_IS_NULL not in text and _NIL_IS_NULL not in text:
            raise ClusterError(f"{path} is not the file that Kubernetes {self.version} has")
        path.write_text(text.replace(_EMPTY_IS_NULL, _NIL_IS_NULL))

    def generate_openapi(self) -> None:
        """Write the generated code that kube-apiserver needs to compile."""
        generator = self.work / "openapi-gen"
        self._go_build([f"{_PACKAGE}/vendor/k8s.io/kube-openapi/cmd/openapi-gen"], output=generator)
        inputs = ",".join(f"{_PACKAGE}/{folder}" for folder in sorted(self._openapi_folders()))
        boilerplate = "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"
        command = [str(generator), "-O", "zz_generated.openapi", "-h", boilerplate]
        command += ["-p", f"{_PACKAGE}/{_OPENAPI}", "-i", inputs, "-r", str(self.work / "violations.txt")]
        self.run(command, cwd=self.path, env=self._environment())

    def build(self, commands: Sequence[str], output: Path) -> None:
        """Compile the commands (folders of cmd/) into the folder `output`."""
        output.mkdir(parents=True, exist_ok=True)
        self._go_build([f"{_PACKAGE}/cmd/{command}" for command in commands], output=output)

    def _go_build(self, packages: Sequence[str], *, output: Path) -> None:
        go = str(self._goroot / "bin/go")
        flags = ["-trimpath", "-p", str(self.jobs), "-ldflags", f"-s -w {self._version_flags()}"]
        command = [go, "build", *flags, "-o", str(output), *packages]
        self.run(command, cwd=self.path, env=self._environment())

    def _version_flags(self) -> str:
        major, minor, _patch = self.version.removeprefix("v").split(".")
        values = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        names = [(package, name) for package in _VERSION_PACKAGES for name in values]
        return " ".join(f"-X {_PACKAGE}/{package}.{name}={values[name]}" for package, name in names)

    def _openapi_folders(self) -> Iterator[str]:
        for start in ("pkg", "vendor/k8s.io"):
            # vendor/k8s.io consists of links into staging/.
            for folder, children, names in os.walk(self.path / start, followlinks=True):
                children[:] = [name for name in children if name not in (*_WITHOUT_OPENAPI, "testdata")]
                sources = [Path(folder, name) for name in names if name.endswith(".go")]
                if any(_OPENAPI_TAG in source.read_bytes() for source in sources):
                    yield os.path.relpath(folder, self.path)

    def _environment(self) -> dict[str, str]:
        return {
            "GOROOT": str(self._goroot),
            "GOPATH": str(self.work / "gopath"),
            "GOCACHE": str(self.work / "gocache"),
            "GOMAXPROCS": str(self.jobs),
            "GO111MODULE": "off",
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
        }
