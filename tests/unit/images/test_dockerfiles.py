"""What every Dockerfile of ours keeps to."""

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from hfmodel_operator.cluster.containers import pod_security
from hfmodel_operator.cluster.settings import ClusterSettings
from hfmodel_router.settings import RouterSettings
from hfmodel_runtime.settings import ServeSettings
from images.build import REPOSITORY
from images.names import BASE, IMAGES

TITLES = ("title", "description", "licenses", "source", "version", "revision")


@dataclass(frozen=True)
class Instruction:
    word: str
    text: str


@dataclass(frozen=True)
class Dockerfile:
    stages: list[list[Instruction]]  # each begins with its FROM

    @property
    def final(self) -> list[Instruction]:
        return self.stages[-1]

    def last(self, word: str) -> str:
        return [each.text for each in self.final if each.word == word][-1]

    def everywhere(self, word: str) -> list[str]:
        return [each.text for stage in self.stages for each in stage if each.word == word]


def read(path: Path) -> Dockerfile:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    logical = "\n".join(lines).replace("\\\n", " ").splitlines()
    instructions = [Instruction(*line.split(maxsplit=1)) for line in logical if line.strip()]
    starts = [number for number, each in enumerate(instructions) if each.word == "FROM"]
    return Dockerfile([instructions[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)])


@pytest.fixture(params=IMAGES.values(), ids=list(IMAGES))
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    return read(REPOSITORY / request.param.dockerfile)


def default(settings: Any, name: str) -> Any:
    return next(field.default for field in fields(settings) if field.name == name)


def test_it_begins_with_the_pinned_base_and_a_comment_that_leads_to_the_page() -> None:
    for image in IMAGES.values():
        comment, base = (REPOSITORY / image.dockerfile).read_text().splitlines()[:2]
        assert "docs/images.md" in comment
        assert base == f"ARG PYTHON_IMAGE={BASE}"


def test_builder_and_image_have_the_same_base(dockerfile: Dockerfile) -> None:
    names = {text.split(" AS ")[1] for text in dockerfile.everywhere("FROM") if " AS " in text}
    bases = {text.split(" AS ")[0] for text in dockerfile.everywhere("FROM")} - names
    assert bases == {"${PYTHON_IMAGE}"}
    assert dockerfile.last("FROM") == "${PYTHON_IMAGE}"


def test_it_runs_as_the_numeric_user_of_our_pods(dockerfile: Dockerfile) -> None:
    pods = pod_security()
    assert dockerfile.last("USER") == f"{pods['runAsUser']}:{pods['runAsGroup']}"


def test_nothing_is_run_in_the_image_that_is_shipped(dockerfile: Dockerfile) -> None:
    assert "RUN" not in {each.word for each in dockerfile.final}


def test_nothing_is_fetched_but_packages_by_pip_and_the_allocator(dockerfile: Dockerfile) -> None:
    assert dockerfile.everywhere("ADD") == []
    fetching = [text for text in dockerfile.everywhere("RUN") if re.search(r"\b(apt|apt-get|curl|wget|git)\b", text)]
    assert all(text.startswith("package=libtcmalloc-minimal4 ") for text in fetching)


@pytest.mark.parametrize("name", ["runtime", "runtime-gpu"])
def test_the_runtimes_images_have_the_allocator(name: str) -> None:
    dockerfile = read(REPOSITORY / IMAGES[name].dockerfile)
    assert "--from=allocator /allocator /" in [each.text for each in dockerfile.final if each.word == "COPY"]


def test_both_runtimes_get_the_allocator_in_the_same_way() -> None:
    runtimes = [read(REPOSITORY / IMAGES[name].dockerfile) for name in ("runtime", "runtime-gpu")]
    cpu, gpu = ([part for part in each.stages if part[0].text.endswith(" AS allocator")] for each in runtimes)
    assert cpu
    assert cpu == gpu


def test_every_installation_is_constrained_or_pinned(dockerfile: Dockerfile) -> None:
    commands = [command for text in dockerfile.everywhere("RUN") for command in text.split("&&")]
    installing = [command for command in commands if "pip" in command and " install " in command]
    assert installing
    assert all(re.search(r"-c constraints\.txt|==|--no-index", command) for command in installing)


def test_no_address_of_a_registry_is_written_down(dockerfile: Dockerfile) -> None:
    assert not [each for stage in dockerfile.stages for each in stage if "https://" in each.text]


def test_it_has_the_labels_that_registries_show(dockerfile: Dockerfile) -> None:
    assert set(re.findall(r"org\.opencontainers\.image\.(\w+)=", dockerfile.last("LABEL"))) == set(TITLES)


def test_it_is_stopped_by_sigterm(dockerfile: Dockerfile) -> None:
    assert dockerfile.last("STOPSIGNAL") == "SIGTERM"


def test_it_listens_on_every_interface(dockerfile: Dockerfile) -> None:
    assert "HFMODEL_HOST=0.0.0.0" in dockerfile.last("ENV") + "".join(dockerfile.everywhere("ENV"))


@pytest.mark.parametrize("word", ["CMD", "ENTRYPOINT"])
def test_what_it_runs_by_default_is_a_command_of_ours(dockerfile: Dockerfile, word: str) -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    given = [each.text for each in dockerfile.final if each.word == word]
    assert all(re.match(r'\["([\w-]+)"', text) for text in given)
    programs = [text.split('"')[1] for text in given]
    assert set(programs) <= {*scripts, "--help"}


@pytest.mark.parametrize(
    ("name", "variable", "port"),
    [
        pytest.param("operator", "HFMODEL_HEALTH_PORT", default(ClusterSettings, "health_port"), id="operator"),
        pytest.param("runtime", "HFMODEL_PORT", default(ServeSettings, "port"), id="runtime"),
        pytest.param("runtime-gpu", "HFMODEL_PORT", default(ServeSettings, "port"), id="runtime-gpu"),
    ],
)
def test_the_health_check_asks_the_port_of_the_default_settings(name: str, variable: str, port: int) -> None:
    dockerfile = read(REPOSITORY / IMAGES[name].dockerfile)
    assert f"os.environ.get('{variable}', '{port}')" in dockerfile.last("HEALTHCHECK")
    assert str(port) in dockerfile.last("EXPOSE").split()


def test_the_routers_port_is_exposed() -> None:
    dockerfile = read(REPOSITORY / IMAGES["operator"].dockerfile)
    assert str(default(RouterSettings, "port")) in dockerfile.last("EXPOSE").split()


def test_the_cpu_runtime_cannot_get_torchs_cuda_build() -> None:
    requirement = next(
        text for text in read(REPOSITORY / "Dockerfile.runtime").everywhere("RUN") if "requirements.txt" in text
    )
    assert r"sed -E 's/^(torch==[^+]+)$/\1+cpu/'" in requirement


def test_the_gpu_runtime_claims_no_gpu_that_nobody_gave_it() -> None:
    variables = " ".join(each.text for each in read(REPOSITORY / "Dockerfile.runtime-gpu").final if each.word == "ENV")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in variables
    assert "NVIDIA_VISIBLE_DEVICES" not in variables


@pytest.mark.parametrize("stage", ["python", "overlay"])
def test_the_three_share_the_stages_that_have_nothing_of_their_own(stage: str) -> None:
    found = [
        [part for part in read(REPOSITORY / image.dockerfile).stages if part[0].text.endswith(f" AS {stage}")]
        for image in IMAGES.values()
    ]
    assert found[0]
    assert found[0] == found[1] == found[2]
