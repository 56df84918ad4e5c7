"""Which images there are, and what they are called."""

from dataclasses import dataclass
from typing import Final

BASE: Final = "docker.io/library/python:3.11-slim-bookworm"  # PYTHON_IMAGE of the Dockerfiles
DEFAULT_TAG: Final = "dev"


@dataclass(frozen=True, slots=True)
class Image:
    """One of our images; `name` is the short one, as in `python -m images build NAME`."""

    name: str

    @property
    def dockerfile(self) -> str:
        return f"Dockerfile.{self.name}"

    def reference(self, tag: str = DEFAULT_TAG) -> str:
        """The full name, as a container runtime has it; manifests may leave out its `docker.io/`."""
        return f"docker.io/hfmodel/{self.name}:{tag}"


IMAGES: Final = {name: Image(name) for name in ("operator", "runtime", "runtime-gpu")}
