"""The HTTP session, set up as pip would set up its own."""

from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_netrc_auth

from recognizance import __version__
from recognizance.vision.models.pipconfig import Credentials, IndexConfig


def open_session(config: IndexConfig) -> requests.Session:
    """Return a session that uses pip's certificates, proxy, trusted hosts and credentials."""
    session = _Session(config)
    session.auth = _IndexAuth(config)
    session.headers["User-Agent"] = f"recognizance/{__version__}"
    # The digests are of the files themselves; a server that compresses on the way would only confuse that.
    session.headers["Accept-Encoding"] = "identity"
    for host in config.trusted_hosts:
        prefixes = [f"https://{host}/"] if ":" in host else [f"https://{host}/", f"https://{host}:"]
        for prefix in prefixes:
            session.mount(prefix, _UncheckedAdapter())
    return session


class _Session(requests.Session):
    """A session in which pip's options win over the environment's, which requests alone would let win."""

    def __init__(self, config: IndexConfig) -> None:
        super().__init__()
        self._config = config

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - requests' own types
        """Return the options of one request."""
        options = dict(super().merge_environment_settings(*args, **kwargs))
        if self._config.proxy:
            options["proxies"] = {"http": self._config.proxy, "https": self._config.proxy}
        if self._config.cert:
            options["verify"] = self._config.cert
        if self._config.client_cert:
            options["cert"] = self._config.client_cert
        return options


class _UncheckedAdapter(HTTPAdapter):
    """Reaches hosts that pip is told to trust whatever certificate they show."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,  # noqa: ANN401 - requests' own type
        verify: bool | str = True,
        cert: Any = None,  # noqa: ANN401 - requests' own type
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send without looking at the certificate."""
        del verify
        return super().send(request, stream, timeout, verify=False, cert=cert, proxies=proxies)


class _IndexAuth(AuthBase):
    """Gives an index's credentials to that index's host alone, and others what the user's ``.netrc`` has for them."""

    def __init__(self, config: IndexConfig) -> None:
        self._credentials: MutableMapping[tuple[str, str], Credentials] = {}
        for index in config.indexes:
            if index.credentials:
                self._credentials.setdefault(_origin(index.url), index.credentials)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url or ""
        credentials = self._credentials.get(_origin(url)) or get_netrc_auth(url)
        return HTTPBasicAuth(*credentials)(request) if credentials else request


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]
