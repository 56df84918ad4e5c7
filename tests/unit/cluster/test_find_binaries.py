"""Where the rig looks for Kubernetes' binaries, and in which order."""

from pathlib import Path

import pytest

from cluster.binaries import BinariesMissing, cache_folder, find


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
