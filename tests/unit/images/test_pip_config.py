"""A build sees pip as this machine has it configured."""

from pathlib import Path

import pytest

from images.pip_config import PipConfig, machines_pip_config, parse_listing


def test_the_environment_goes_before_the_files_and_install_before_global() -> None:
    listing = """\
global.index-url='https://one.example/simple'
global.proxy='http://proxy.example'
install.index-url='https://two.example/simple'
install.proxy='http://other.example'
:env:.index-url='https://three.example/simple'
"""
    assert parse_listing(listing).options == {
        "index-url": "https://three.example/simple",
        "proxy": "http://other.example",
    }


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("global.user='true'", id="an option that is not of the way to packages"),
        pytest.param("list.index-url='https://one.example'", id="an option of another command"),
        pytest.param(":env:.find-links=''", id="an empty value"),
        pytest.param("", id="an empty line"),
    ],
)
def test_what_does_not_matter_to_a_build_is_left_out(line: str) -> None:
    assert parse_listing(line).options == {}


def test_it_becomes_a_file_that_pip_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PipConfig({"find-links": "/wheels\n/more", "proxy": "http://user:50%25@proxy.example"})
    path = tmp_path / "pip.conf"
    path.write_text(config.text())
    for name in ("PIP_FIND_LINKS", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))
    read = machines_pip_config()
    assert read.options["find-links"].split() == ["/wheels", "/more"]
    assert read.options["proxy"] == "http://user:50%25@proxy.example"


def test_local_folders_and_certificates_are_found(tmp_path: Path) -> None:
    for name in ("index/simple", "wheels", "more wheels"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ca.crt").touch()
    more = (tmp_path / "more wheels").as_uri()
    config = PipConfig(
        {
            "cert": str(tmp_path / "ca.crt"),
            "extra-index-url": f"https://one.example/simple file://{tmp_path}/index/simple",
            "find-links": f"{tmp_path}/wheels {more} {tmp_path}/missing https://links.example relative",
        }
    )
    assert config.local_paths() == [
        tmp_path / "ca.crt",
        tmp_path / "index",
        tmp_path / "more wheels",
        tmp_path / "wheels",
    ]


def test_a_path_inside_of_another_is_not_named_again(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").touch()
    config = PipConfig({"cert": str(tmp_path / "certs/ca.crt"), "find-links": str(tmp_path / "certs")})
    assert config.local_paths() == [tmp_path / "certs"]
