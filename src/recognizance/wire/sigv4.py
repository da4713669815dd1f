"""AWS Signature Version 4: who sent this request, and did anybody change it?

Implemented from "AWS Signature Version 4 for API requests" in the IAM User Guide (canonical request, string to
sign, signing key). Requests are signed in the ``Authorization`` header. Only what is signed is believed: host, time
and target must be signed, a session token too when there is one, and the payload's hash is always computed here.
The region of the signature must be this server's, because the region is part of every ARN that the server gives
out.

Like AWS's, the signature stops a request from being changed or sent late, not from being sent twice within five
minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from recognizance.core import clock
from recognizance.core.errors import (
    IncompleteSignatureError,
    InvalidSignatureError,
    MissingAuthenticationTokenError,
    UnrecognizedClientError,
)
from recognizance.wire.model import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from recognizance.governance.keys import Credential
    from recognizance.governance.principal import Principal
    from recognizance.wire.http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
MAX_SKEW = timedelta(minutes=5)
"""How far a client's clock may be off, as is common for AWS's services."""

_SCOPE = re.compile(rf"(\w{{1,128}})/(\d{{8}})/([^/]+)/([^/]+)/{TERMINATOR}", re.ASCII)
_DATE_FORM = "%Y%m%dT%H%M%SZ"
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_UNRECOGNIZED = "The security token included in the request is invalid."
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """An ``Authorization`` header, taken apart.

    Attributes:
        access_key_id: Whose key is said to have signed.
        date: The day of the signing key, ``yyyymmdd``.
        region: The region of the signing key.
        service: The service of the signing key.
        signed_headers: The names of the headers that are signed, lowercase and sorted.
        signature: The signature, in hexadecimal.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str

    @classmethod
    def parse(cls, header: str) -> Authorization:
        """Take a header apart.

        Raises:
            IncompleteSignatureError: It is not of Signature Version 4, or lacks a part.
        """
        algorithm, _, rest = header.partition(" ")
        if algorithm != ALGORITHM:
            raise IncompleteSignatureError(f"The Authorization header must start with {ALGORITHM}.")
        fields = dict(_field(part) for part in rest.split(",") if part.strip())
        for name in ("Credential", "SignedHeaders", "Signature"):
            if not fields.get(name):
                raise IncompleteSignatureError(f"Authorization header requires '{name}' parameter.")
        scope = _SCOPE.fullmatch(fields["Credential"])
        if scope is None:
            raise IncompleteSignatureError(
                f"Credential must be <access key id>/<yyyymmdd>/<region>/{SERVICE}/{TERMINATOR}."
            )
        signed = tuple(sorted(set(fields["SignedHeaders"].lower().split(";"))))
        return cls(scope[1], scope[2], scope[3], scope[4], signed, fields["Signature"])


def _field(part: str) -> tuple[str, str]:
    name, equals, value = part.strip().partition("=")
    if not equals:
        raise IncompleteSignatureError("A part of the Authorization header is no key=value pair.")
    return name, value


class Verifier:
    """Verifies the signatures of requests.

    Args:
        find: Returns the credential of an access key id, None when there is none.
        region: The region that requests must be signed for.
        now: Tells the time.
    """

    def __init__(
        self,
        find: Callable[[str], Credential | None],
        region: str,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._find, self._region, self._now = find, region, now

    def verify(self, request: Request) -> Principal:
        """Return who signed the request.

        Raises:
            MissingAuthenticationTokenError: The request is not signed.
            IncompleteSignatureError: The signature lacks a part, or leaves out a header that must be signed.
            UnrecognizedClientError: There is no such key, it is disabled, or its session token is wrong.
            InvalidSignatureError: The signature is another's, is too old, or the request was changed.
        """
        authorization = _authorization(request)
        self._check_scope(authorization)
        sent = _check_date(request, authorization)
        _check_signed_headers(request, authorization)
        self._check_time(sent)
        credential = self._find(authorization.access_key_id)
        if credential is None or not credential.enabled:
            raise UnrecognizedClientError(_UNRECOGNIZED)
        expected = signature(credential.secret, request, authorization)
        if not hmac.compare_digest(expected.encode(), authorization.signature.encode("latin-1")):
            raise InvalidSignatureError(_MISMATCH)
        _check_session_token(request, credential)
        return credential.principal

    def _check_scope(self, authorization: Authorization) -> None:
        if authorization.service != SERVICE:
            raise InvalidSignatureError(f"Credential should be scoped to correct service: '{SERVICE}'.")
        if authorization.region != self._region:
            raise InvalidSignatureError(
                f"Credential should be scoped to a valid region. This server's region is '{self._region}'; "
                "set the client's region to it."
            )

    def _check_time(self, sent: datetime) -> None:
        now = self._now()
        earliest, latest = now - MAX_SKEW, now + MAX_SKEW
        if sent < earliest:
            raise InvalidSignatureError(
                f"Signature expired: {_stamp(sent)} is now earlier than {_stamp(earliest)} ({_stamp(now)} - 5 min.)"
            )
        if sent > latest:
            raise InvalidSignatureError(
                f"Signature not yet current: {_stamp(sent)} is still later than {_stamp(latest)} "
                f"({_stamp(now)} + 5 min.)"
            )


def _stamp(moment: datetime) -> str:
    return moment.strftime(_DATE_FORM)


def _authorization(request: Request) -> Authorization:
    if "X-Amz-Signature=" in request.query or "X-Amz-Algorithm=" in request.query:
        raise IncompleteSignatureError("Presigned requests are not accepted: sign in the Authorization header.")
    header = request.headers.get("authorization")
    if header is None:
        raise MissingAuthenticationTokenError("Missing Authentication Token")
    return Authorization.parse(header)


def _check_date(request: Request, authorization: Authorization) -> datetime:
    text = request.headers.get("x-amz-date", "")
    sent = _parse_date(text)
    if sent is None:
        raise IncompleteSignatureError(
            "Authorization header requires existence of a valid 'X-Amz-Date' header (yyyymmddThhmmssZ)."
        )
    if authorization.date != text[:8]:
        raise InvalidSignatureError(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."
        )
    return sent


def _parse_date(text: str) -> datetime | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


_MUST_BE_SIGNED = ("host", "x-amz-date", "x-amz-target")
_MUST_BE_SIGNED_IF_SENT = ("x-amz-security-token",)
"""What decides who asks for what. Content-Type needs no signature, for only one is accepted; X-Amz-Content-Sha256
needs none either, for it is compared with the body, whose hash is signed."""


def _check_signed_headers(request: Request, authorization: Authorization) -> None:
    needed = [*_MUST_BE_SIGNED, *(name for name in _MUST_BE_SIGNED_IF_SENT if name in request.headers)]
    for name in needed:
        if name not in authorization.signed_headers:
            raise IncompleteSignatureError(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    if not request.headers.keys() >= set(authorization.signed_headers):
        raise IncompleteSignatureError("A header named in 'SignedHeaders' is missing from the request.")


def _check_session_token(request: Request, credential: Credential) -> None:
    """Refuse a token that is not the credential's, and a credential without its token."""
    token = request.headers.get("x-amz-security-token")
    if token is None and credential.session_token_digest is None:
        return
    digest = hashlib.sha256((token or "").encode("latin-1")).digest()
    if not hmac.compare_digest(digest, credential.session_token_digest or b""):
        raise UnrecognizedClientError(_UNRECOGNIZED)


@lru_cache(maxsize=1024)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Return the key that signs a day's requests to a service in a region.

    Only keys of known credentials within the clock's tolerance get here, so nobody else can push them out of the
    cache.
    """
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def signature(secret: str, request: Request, authorization: Authorization) -> str:
    """Return the signature that a request must bear, in hexadecimal.

    Args:
        secret: The secret access key.
        request: The request; it has every signed header.
        authorization: What the client says it signed, and for which scope.

    Raises:
        InvalidSignatureError: The request says that its body has another hash, or none.
    """
    payload_hash = hashlib.sha256(request.body).hexdigest()
    if request.headers.get("x-amz-content-sha256", payload_hash) != payload_hash:
        raise InvalidSignatureError(
            "X-Amz-Content-Sha256 is not the SHA-256 of the body; unsigned and streamed payloads are not accepted."
        )
    canonical = canonical_request(request, authorization.signed_headers, payload_hash)
    scope = f"{authorization.date}/{authorization.region}/{authorization.service}/{TERMINATOR}"
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    to_sign = f"{ALGORITHM}\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
    key = signing_key(secret, authorization.date, authorization.region, authorization.service)
    return hmac.new(key, to_sign.encode("latin-1"), "sha256").hexdigest()


def canonical_request(request: Request, signed_headers: tuple[str, ...], payload_hash: str) -> str:
    """Return the canonical form of a request, which client and server must agree on to the byte.

    Args:
        request: The request; it has every signed header.
        signed_headers: The signed headers' names, lowercase and sorted.
        payload_hash: The body's SHA-256 in hexadecimal.
    """
    headers = "".join(f"{name}:{request.headers[name]}\n" for name in signed_headers)
    return "\n".join(
        (
            request.method,
            request.path,
            _canonical_query(request.query),
            headers,
            ";".join(signed_headers),
            payload_hash,
        )
    )


def _canonical_query(query: str) -> str:
    """Return a query's parameters encoded as RFC 3986 says and sorted by name, then value."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return "&".join(f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, _, v in pairs))


def _encode(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")
