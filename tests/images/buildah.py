"""buildah with a storage of its own: nobody else's images are seen or touched."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.commands import Runner, tool
from cluster.errors import ClusterError

_MOUNTS: Final = Path("/run/hfmodel-images")  # what is mounted is forgotten with a reboot, as it has to be
_DOWNLOADS: Final = "buildah-cache"  # what builds mount as a cache, among buildah's temporary files


class Buildah:
    """Builds, and holds, images.

    Args:
        folder: exists; the storage and the packages that builds downloaded are kept here.
        run: starts commands.
        log: where builds write, steps and output in their order; that of `run`, for errors to show its end.

    Raises:
        ClusterError: buildah is missing. All methods: it fails; the message has the end of its log.
    """

    def __init__(self, folder: Path, *, run: Runner, log: Path) -> None:
        self._folder = folder
        self._temporary = folder / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self._run = run
        self._log = log
        self._program = tool("buildah", package="buildah")
        self._driver = self._find_driver()

    def has(self, image: str) -> bool:
        try:
            self("inspect", "--type=image", image)
        except ClusterError:
            return False
        return True

    def build(
        self, dockerfile: Path, *, context: Path, arguments: Mapping[str, str], volumes: Mapping[Path, str]
    ) -> str:
        """Build `dockerfile`, as far as no earlier build did it; returns the id of the image, which gets no name.

        Args:
            arguments: of the build.
            volumes: files and folders of this machine that its commands see, and where.
        """
        flags = ["--pull-never", "--isolation=chroot", "--network=host", "--layers"]
        flags += ["--format=docker"]  # OCI's own has no HEALTHCHECK
        flags += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        flags += [f"--volume={source}:{target}:ro" for source, target in volumes.items()]
        flags += [f"--logfile={self._log}"]
        with tempfile.NamedTemporaryFile("r", dir=self._folder) as built:
            self("build", *flags, f"--iidfile={built.name}", f"--file={dockerfile}", str(context))
            return Path(built.name).read_text()

    def save(self, image: str, archive: Path, *, reference: str) -> None:
        """Write an archive that `docker load`, `podman load` and `ctr image import` take in as `reference`.

        Also as whatever `image` is called in the storage.
        """
        self("push", "--quiet", image, f"docker-archive:{archive}:{reference}")

    def load(self, archive: Path) -> str:
        """Take an archive in; returns the image's id."""
        return self("pull", "--quiet", f"docker-archive:{archive}").split()[-1]

    def commit(self, tree: Path, image: str, *, variables: Mapping[str, str]) -> None:
        """Make an image of a folder of files."""
        with self._container("scratch") as container:
            self("config", *(f"--env={name}={value}" for name, value in variables.items()), container)
            self("add", "--quiet", container, str(tree), "/")
            self("commit", "--quiet", "--format=docker", container, image)

    def clean(self) -> None:
        """Remove what a build that was cut off left: containers, mounts, files. No build may run meanwhile."""
        self("rm", "--all")
        for path in self._temporary.iterdir():
            if not path.name.startswith(_DOWNLOADS):
                shutil.rmtree(path)

    def tag(self, image: str, name: str) -> None:
        self("tag", image, name)

    def remove(self, image: str) -> None:
        """Remove an image that no container is made of."""
        self("rmi", image)

    def __call__(self, *arguments: str) -> str:
        return self._buildah(self._driver, *arguments)

    def _buildah(self, driver: str, *arguments: str) -> str:
        mounts = _MOUNTS / hashlib.sha256(bytes(self._folder)).hexdigest()[:8]
        storage = [f"--root={self._folder / 'storage'}", f"--runroot={mounts}", f"--storage-driver={driver}"]
        return self._run([self._program, *storage, *arguments], env={"TMPDIR": str(self._temporary)})

    def _find_driver(self) -> str:
        try:
            self._buildah("overlay", "images")
        except ClusterError:
            return "vfs"  # copies every layer, and works on any file system
        return "overlay"

    @contextmanager
    def _container(self, image: str) -> Iterator[str]:
        container = self("from", "--pull-never", image).strip()
        try:
            yield container
        finally:
            self("rm", container)
