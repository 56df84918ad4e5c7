"""What operator and local mode share: what is fetched for a model, and what its runtime is told."""

from typing import Any

import pytest

from hfmodel_operator.cluster.template import pod_manifest
from hfmodel_operator.serving import serve_options, serve_settings
from hfmodel_operator.source import Fetched, source_of
from support.kube_objects import SETTINGS, hfmodel

HUB = ["--model", "org/tiny", "--revision", "main"]


@pytest.mark.parametrize(
    ("spec", "mount", "arguments"),
    [
        pytest.param({}, "/source", HUB, id="the Hub"),
        pytest.param({"revision": "v1"}, "", ["--model", "org/tiny", "--revision", "v1"], id="a revision"),
        pytest.param(
            {"source": {"hub": {"endpoint": "http://mirror"}}}, "", [*HUB, "--endpoint", "http://mirror"], id="a mirror"
        ),
        pytest.param(
            {"source": {"pvc": {"claimName": "c", "path": "/tiny"}}},
            "/source",
            ["--path", "/source/tiny"],
            id="a volume",
        ),
        pytest.param({"source": {"path": "/models/tiny"}}, "", ["--path", "/models/tiny"], id="a folder"),
        pytest.param(
            {"allowPickle": True, "trustRemoteCode": True},
            "",
            [*HUB, "--allow-pickle", "--trust-remote-code"],
            id="what is allowed",
        ),
    ],
)
def test_what_is_fetched(spec: dict[str, Any], mount: str, arguments: list[str]) -> None:
    source = source_of(hfmodel(**spec))
    assert source.arguments(cache_dir="/cache", mount=mount) == ["--cache-dir", "/cache", *arguments]


def test_options_are_written_as_the_runtime_reads_them() -> None:
    assert serve_options({"model_id": "a", "allow_pickle": True, "max_length": None, "suggested_temperature": 0.5}) == [
        "--model-id=a",
        "--allow-pickle=true",
        "--suggested-temperature=0.5",
    ]


def test_a_pod_is_told_all_that_follows_from_the_spec() -> None:
    model = hfmodel(type="conversational", dtype="float16", maxLength=64, trustRemoteCode=True)
    manifest = pod_manifest(model, SETTINGS, name="tiny-1", fetched=Fetched("/cache/m", "abc"))
    (container,) = manifest["spec"]["containers"]
    assert set(serve_options(serve_settings(model))) <= set(container["args"])
