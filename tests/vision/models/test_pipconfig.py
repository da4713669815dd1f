"""The user's package index, as pip's files and the variables of pip and uv name it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from recognizance.core.errors import SetupError
from recognizance.vision.models.pipconfig import Index, load_index_config

if TYPE_CHECKING:
    from collections.abc import Mapping


def urls(environment: Mapping[str, str], files: list[Path]) -> list[str]:
    return [index.url for index in load_index_config(environment, files).indexes]


@pytest.fixture(autouse=True)
def no_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recognizance.vision.models.pipconfig._MACHINE_FILE", tmp_path / "none")
    monkeypatch.setattr("sys.prefix", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration file with an index."""
    path = tmp_path / "pip.conf"
    path.write_text("[global]\nindex-url = https://file.example/simple\n")
    return path


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("", {}, [PYPI_SIMPLE_ENDPOINT]),
        ("[global]\nindex-url = https://a.example/simple", {}, ["https://a.example/simple/"]),
        ("[global]\nindex_url = https://a.example/simple/", {}, ["https://a.example/simple/"]),
        ("[install]\nindex-url: https://a.example/", {}, ["https://a.example/"]),
        (
            "[global]\nindex-url = https://a.example/\n[install]\nindex-url = https://b.example/",
            {},
            ["https://b.example/"],
        ),
        (
            "[install]\nindex-url = https://a.example/\n[download]\nindex-url = https://b.example/",
            {},
            ["https://b.example/"],
        ),
        ("[freeze]\nindex-url = https://a.example/", {}, [PYPI_SIMPLE_ENDPOINT]),
        (
            "[global]\nindex-url = https://a.example/\nextra-index-url =\n    https://b.example/\n    https://c.example/",
            {},
            ["https://a.example/", "https://b.example/", "https://c.example/"],
        ),
        ("[global]\nindex-url = https://a.example/", {"PIP_INDEX_URL": "https://b.example"}, ["https://b.example/"]),
        ("[global]\nindex-url = https://a.example/", {"PIP_INDEX_URL": ""}, ["https://a.example/"]),
        ("[global]\nindex-url = https://a.example/", {"UV_DEFAULT_INDEX": "https://u.example"}, ["https://u.example/"]),
        ("", {"UV_INDEX_URL": "https://u.example"}, ["https://u.example/"]),
        ("", {"UV_DEFAULT_INDEX": "named=https://u.example/simple"}, ["https://u.example/simple/"]),
        ("", {"PIP_INDEX_URL": "https://p.example", "UV_INDEX_URL": "https://u.example"}, ["https://p.example/"]),
        (
            "",
            {"PIP_EXTRA_INDEX_URL": "https://a.example https://a.example/", "UV_INDEX": "x=https://b.example"},
            [PYPI_SIMPLE_ENDPOINT, "https://a.example/", "https://b.example/"],
        ),
        ("", {"UV_EXTRA_INDEX_URL": "https://e.example"}, [PYPI_SIMPLE_ENDPOINT, "https://e.example/"]),
        ("[global]\nno-index = true", {}, []),
        ("", {"PIP_NO_INDEX": "1"}, []),
        ("[global]\nextra-index-url = file:///srv/simple", {}, [PYPI_SIMPLE_ENDPOINT]),
        ("", {"PIP_INDEX_URL": "http://plain.example/simple"}, []),
        (
            "[global]\ntrusted-host = plain.example",
            {"PIP_INDEX_URL": "http://plain.example/simple"},
            ["http://plain.example/simple/"],
        ),
        ("", {"PIP_INDEX_URL": "http://h:81/", "PIP_TRUSTED_HOST": "h:81"}, ["http://h:81/"]),
        ("", {"PIP_INDEX_URL": "http://h:81/", "UV_INSECURE_HOST": "h"}, ["http://h:81/"]),
        ("", {"PIP_INDEX_URL": "http://localhost:3141/root"}, ["http://localhost:3141/root/"]),
        ("", {"PIP_INDEX_URL": "https://[::1]:444/x?a=b#c"}, ["https://[::1]:444/x/"]),
    ],
)
def test_indexes_are_those_that_pip_would_ask(
    tmp_path: Path, text: str, environment: dict[str, str], expected: list[str]
) -> None:
    (tmp_path / "pip.conf").write_text(text)
    assert urls(environment, [tmp_path / "pip.conf"]) == expected


def test_a_later_file_wins(tmp_path: Path, conf: Path) -> None:
    later = tmp_path / "later.conf"
    later.write_text("[global]\nindex-url = https://later.example/\n")
    assert urls({}, [conf, later]) == ["https://later.example/"]
    assert urls({}, [later, conf]) == ["https://file.example/simple/"]
    assert urls({}, [conf, tmp_path / "absent.conf"]) == ["https://file.example/simple/"]


@pytest.mark.parametrize(
    ("folder", "variables"),
    [
        (".config/pip", {}),
        (".pip", {}),
        ("xdg/pip", {"XDG_CONFIG_HOME": "xdg"}),
        ("machine/pip", {"XDG_CONFIG_DIRS": "machine"}),
    ],
)
def test_pips_own_places_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conf: Path, folder: str, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    (tmp_path / folder).mkdir(parents=True)
    conf.rename(tmp_path / folder / "pip.conf")
    assert [index.url for index in load_index_config({}).indexes] == ["https://file.example/simple/"]


def test_the_file_of_the_python_environment_is_read(monkeypatch: pytest.MonkeyPatch, conf: Path) -> None:
    monkeypatch.setattr("sys.prefix", str(conf.parent))
    assert [index.url for index in load_index_config({}).indexes] == ["https://file.example/simple/"]


def test_the_named_file_stands_in_for_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conf: Path) -> None:
    users = tmp_path / ".pip" / "pip.conf"
    users.parent.mkdir()
    users.write_text("[global]\nindex-url = https://user.example/\nextra-index-url = https://extra.example/\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    named = load_index_config({"PIP_CONFIG_FILE": str(conf)})
    assert [index.url for index in named.indexes] == ["https://file.example/simple/"]
    missing = load_index_config({"PIP_CONFIG_FILE": str(tmp_path / "absent.conf")})
    assert [index.url for index in missing.indexes] == ["https://user.example/", "https://extra.example/"]
    nothing = load_index_config({"PIP_CONFIG_FILE": os.devnull})
    assert [index.url for index in nothing.indexes] == [PYPI_SIMPLE_ENDPOINT]


def test_options_beside_the_index_are_read(tmp_path: Path) -> None:
    for name in ("ca.pem", "me.pem"):
        (tmp_path / name).touch()
    (tmp_path / "pip.conf").write_text(
        f"[global]\ncert = {tmp_path}/ca.pem\nclient-cert = {tmp_path}/me.pem\ntimeout = 7\n"
        "proxy = http://proxy.example:3128\ntrusted-host =\n  a.example\n  b.example:8443\n"
    )
    config = load_index_config({}, [tmp_path / "pip.conf"])
    assert (config.cert, config.client_cert) == (f"{tmp_path}/ca.pem", f"{tmp_path}/me.pem")
    assert (config.timeout, config.proxy) == (7.0, "http://proxy.example:3128")
    assert config.trusted_hosts == {"a.example", "b.example:8443"}
    assert load_index_config({"PIP_DEFAULT_TIMEOUT": "9"}, []).timeout == 9.0


def test_credentials_are_kept_apart_from_the_address() -> None:
    (index,) = load_index_config({"PIP_INDEX_URL": "https://ann:s%2Fcret@a.example/simple"}, []).indexes
    assert index == Index("https://a.example/simple/", ("ann", "s/cret"))
    assert "cret" not in repr(index)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("index-url = https://ann:secret@a.example", "cannot be read"),
        ("[global\n", "cannot be read"),
        ("[global]\ntimeout = soon", "number of seconds"),
        ("[global]\ncert = /nowhere/ca.pem", "does not exist"),
    ],
)
def test_what_pip_would_refuse_is_refused_without_quoting_it(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "pip.conf").write_text(text)
    with pytest.raises(SetupError, match=complaint) as caught:
        load_index_config({}, [tmp_path / "pip.conf"])
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(b"[global]\nindex-url = \xff\xfe")
    with pytest.raises(SetupError, match="cannot be read"):
        load_index_config({}, [tmp_path / "pip.conf"])


def test_uvs_certificates_give_way_to_those_of_requests(tmp_path: Path) -> None:
    path = str(tmp_path)
    assert load_index_config({"SSL_CERT_FILE": path}, []).cert == path
    assert load_index_config({"SSL_CERT_FILE": path, "REQUESTS_CA_BUNDLE": path}, []).cert is None
    assert load_index_config({"SSL_CERT_FILE": f"{path}/absent"}, []).cert is None
