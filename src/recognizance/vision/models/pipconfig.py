"""The user's package index: what pip's configuration files and the environment variables of pip and uv say about it.

Read as pip reads it (https://pip.pypa.io/en/stable/topics/configuration/): the files of the machine, of the user and
of the environment that Python runs in, then the file that ``PIP_CONFIG_FILE`` names, later ones winning; of each file
the sections ``global``, ``install`` and ``download``; then the variables. Indexes that only pip can use, such as
folders, are left out.
"""

import configparser
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from platformdirs import site_config_dir, user_config_path
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from recognizance.core.errors import SetupError

_SECTIONS = ("global", "install", "download")  # a later one wins
_MACHINE_FILE = Path("/etc/pip.conf")
_DEFAULT_TIMEOUT = 15.0  # seconds, pip's own
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})

Credentials = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Index:
    """A package index.

    Attributes:
        url: Its address, without user name and password.
        credentials: User name and password, if its address had them.
    """

    url: str
    credentials: Credentials | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Return the host's name, for messages."""
        return urlsplit(self.url).hostname or self.url


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How to reach the user's package indexes.

    Attributes:
        indexes: The indexes, in the order in which they are asked.
        ignored: Why other configured indexes are not asked, one sentence each.
        timeout: Seconds without an answer after which a host counts as silent.
        cert: File or folder of trusted certificates; by default those that requests trusts.
        client_cert: File of the client's own certificate and key.
        proxy: The proxy for everything; by default what the environment says.
        trusted_hosts: Hosts, with or without a port, whose certificates are not checked.
    """

    indexes: tuple[Index, ...]
    ignored: tuple[str, ...] = ()
    timeout: float = _DEFAULT_TIMEOUT
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = field(default=None, repr=False)
    trusted_hosts: frozenset[str] = frozenset()


def load_index_config(environment: Mapping[str, str] | None = None, files: Sequence[Path] | None = None) -> IndexConfig:
    """Read the configuration.

    Args:
        environment: The environment variables; by default those of this process.
        files: The configuration files, later ones winning; by default pip's own.

    Raises:
        SetupError: A file or a value that pip would not accept either.
    """
    environment = os.environ if environment is None else environment
    options = _file_options(_config_files(environment) if files is None else files)
    options |= _pip_variables(environment)
    trusted = frozenset((options.get("trusted-host", "") + " " + environment.get("UV_INSECURE_HOST", "")).split())
    indexes, ignored = [], []
    for url in _index_urls(options, environment):
        index, reason = _parse_index(url, trusted)
        if reason:
            ignored.append(reason)
        elif index not in indexes:
            indexes.append(index)
    return IndexConfig(
        indexes=tuple(indexes),
        ignored=tuple(ignored),
        timeout=_seconds(options.get("timeout") or options.get("default-timeout")),
        cert=_existing(options.get("cert")) or _uv_cert(environment),
        client_cert=_existing(options.get("client-cert")),
        proxy=options.get("proxy"),
        trusted_hosts=trusted,
    )


def _config_files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    machine = [Path(folder) / "pip.conf" for folder in site_config_dir("pip", multipath=True).split(os.pathsep)]
    user = [Path.home() / ".pip" / "pip.conf", user_config_path("pip") / "pip.conf"]
    if named and Path(named).exists():
        user = []  # as in pip: the named file stands in for the user's
    files = [*machine, _MACHINE_FILE, *user, Path(sys.prefix) / "pip.conf"]
    return [*files, Path(named)] if named else files


def _file_options(files: Iterable[Path]) -> dict[str, str]:
    sections: dict[str, dict[str, str]] = {name: {} for name in _SECTIONS}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"), str(path))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            # The parser's own message would quote the file's lines, and there may be passwords in them.
            raise SetupError(f"pip's configuration file {path} cannot be read ({type(error).__name__}).") from None
        for name in _SECTIONS:
            if parser.has_section(name):
                sections[name] |= {_option(key): value for key, value in parser.items(name) if value}
    return sections["global"] | sections["install"] | sections["download"]


def _option(key: str) -> str:
    return key.lower().replace("_", "-").removeprefix("--")


def _pip_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        _option(name.removeprefix("PIP_")): value
        for name, value in environment.items()
        if name.startswith("PIP_") and value
    }


def _index_urls(options: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the configured addresses, the main index first."""
    if options.get("no-index", "").lower() in _TRUE:
        return
    uv = (environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or "").strip()
    yield environment.get("PIP_INDEX_URL") or uv or options.get("index-url") or PYPI_SIMPLE_ENDPOINT
    yield from options.get("extra-index-url", "").split()
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL"):
        yield from environment.get(name, "").split()


def _parse_index(text: str, trusted: frozenset[str]) -> tuple[Index, str]:
    """Return the index at an address, or why it is not asked."""
    name, _, rest = text.partition("=")
    parts = urlsplit(rest if rest and "/" not in name else text)  # uv lets an index have a name: name=address
    host = parts.hostname or ""
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return Index(""), f"{host} has a port that is no number."
    address = urlunsplit((parts.scheme, f"[{host}]{port}" if ":" in host else f"{host}{port}", parts.path, "", ""))
    if parts.scheme not in {"http", "https"} or not host:
        return Index(address), f"{address} is not reached by HTTP."
    if parts.scheme == "http" and host not in _LOOPBACK and not {host, f"{host}{port}"} & trusted:
        return Index(address), f"{host} is reached without encryption and is not a trusted host."
    credentials = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Index(address.rstrip("/") + "/", credentials), ""


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text else _DEFAULT_TIMEOUT
    except ValueError:
        raise SetupError(f"pip's timeout must be a number of seconds, not {text!r}.") from None
    return seconds if seconds > 0 else _DEFAULT_TIMEOUT


def _existing(path: str | None) -> str | None:
    """Return a certificate's path."""
    if path and not Path(path).expanduser().exists():
        raise SetupError(f"pip's configuration names the certificate file {path}, which does not exist.")
    return str(Path(path).expanduser()) if path else None


def _uv_cert(environment: Mapping[str, str]) -> str | None:
    """Return uv's certificate file, unless requests has one of its own in the environment."""
    if environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE"):
        return None
    path = environment.get("SSL_CERT_FILE")
    return path if path and Path(path).exists() else None
