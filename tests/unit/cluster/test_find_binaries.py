"""Where the rig looks for Kubernetes' binaries, and in which order."""

from pathlib import Path

import pytest

from cluster.binaries import BinariesMissing, cache_folder, find, find_together


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    names = {"KUBEBUILDER_ASSETS": "assets", "PATH": "path", "HFMODEL_TEST_CACHE": "cache"}
    return {variable: str(tmp_path / folder) for variable, folder in names.items()}


def test_named_assets_come_before_path_and_cache(tmp_path: Path, environ: dict[str, str]) -> None:
    expected = program(tmp_path / "assets", "etcd")
    program(tmp_path / "path", "etcd")
    program(cache_folder(environ), "etcd")
    assert find("etcd", environ) == expected


def test_path_comes_before_the_cache(tmp_path: Path, environ: dict[str, str]) -> None:
    expected = program(tmp_path / "path", "etcd")
    program(cache_folder(environ), "etcd")
    assert find("etcd", environ | {"KUBEBUILDER_ASSETS": ""}) == expected


def test_the_cache_is_the_last_place(environ: dict[str, str]) -> None:
    expected = program(cache_folder(environ), "etcd")
    assert find("etcd", environ | {"KUBEBUILDER_ASSETS": ""}) == expected


def test_what_assets_never_hold_is_found_elsewhere(environ: dict[str, str]) -> None:
    expected = program(cache_folder(environ), "kubelet")
    assert find("kubelet", environ) == expected


def test_assets_that_lack_a_server_never_mix_with_another_version(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "path", "kube-apiserver")
    with pytest.raises(BinariesMissing, match=r"KUBEBUILDER_ASSETS=.*assets holds no program kube-apiserver"):
        find("kube-apiserver", environ)


def test_a_missing_binary_says_how_to_get_it(environ: dict[str, str]) -> None:
    with pytest.raises(BinariesMissing, match="make cluster-build"):
        find("etcd", environ | {"KUBEBUILDER_ASSETS": ""})


def test_the_binaries_of_a_node_all_come_from_the_named_folder(tmp_path: Path, environ: dict[str, str]) -> None:
    for name in ("etcd", "kubelet"):
        program(cache_folder(environ), name)
        program(tmp_path / "assets", name)
    found = find_together(["etcd", "kubelet"], environ)
    assert found == {name: tmp_path / "assets" / name for name in ("etcd", "kubelet")}


@pytest.mark.parametrize("assets", [True, False], ids=["in the named folder", "in the cache"])
def test_binaries_of_a_node_never_come_from_two_places(tmp_path: Path, environ: dict[str, str], assets: bool) -> None:
    here, there = tmp_path / "assets", cache_folder(environ)
    for folder, name in ((here if assets else there, "etcd"), (there if assets else here, "kubelet")):
        program(folder, name)
    program(tmp_path / "path", "kubelet")
    environ |= {} if assets else {"KUBEBUILDER_ASSETS": ""}
    with pytest.raises(BinariesMissing, match=r"lacks kubelet: .*make cluster-build"):
        find_together(["etcd", "kubelet"], environ)
