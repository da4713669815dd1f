"""Pagination tokens: opaque, compact, and good only for the request that they were made for.

A token carries the place where the next page starts, and a message authentication code over that place and a
*scope*: whatever must not change between two pages, such as the operation's name and the request's other members. A
token that was edited, guessed, or taken from another request is refused instead of being trusted with a place in
the data.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

import orjson

from recognizance.core.errors import InvalidPaginationTokenError

MAX_TOKEN_LENGTH = 255
"""Rekognition's shortest limit on a NextToken (shape ``PaginationToken``), in characters."""

_MAC_BYTES = 16  # RFC 2104, section 5: truncate to no less than half of the hash's length
_PURPOSE = b"recognizance pagination token 1\0"  # keeps the key's other uses from ever making a valid token


def _mac(secret: bytes, scope: str, payload: bytes) -> bytes:
    # A digest is of fixed length: no byte can pass from the scope to the payload.
    scope_digest = hashlib.sha256(scope.encode()).digest()
    return hmac.digest(secret, _PURPOSE + scope_digest + payload, "sha256")[:_MAC_BYTES]


def encode_token(secret: bytes, scope: str, position: Sequence[str | int]) -> str:
    """Return the token for a position within a scope.

    Args:
        secret: The server's key for tokens; all processes that serve one database share it.
        scope: What both pages have in common; any text.
        position: Where the next page starts, as the caller's own sort key. About 160 bytes fit, so a long name
            needs its row's number in its stead.

    Raises:
        ValueError: The position does not fit a token of 255 characters.
    """
    payload = orjson.dumps(list(position))
    token = base64.b64encode(_mac(secret, scope, payload) + payload).decode()
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(f"A position of {len(payload)} bytes does not fit a pagination token")
    return token


def decode_token(secret: bytes, scope: str, token: str) -> list[str | int]:
    """Return the position in a token that :func:`encode_token` made with the same secret and scope.

    Raises:
        InvalidPaginationTokenError: Any other token.
    """
    try:
        data = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidPaginationTokenError from None
    mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
    # Base64 leaves bits unused in its last character: a second spelling of a token is not the token.
    if not hmac.compare_digest(mac, _mac(secret, scope, payload)) or base64.b64encode(data).decode() != token:
        raise InvalidPaginationTokenError
    position: list[str | int] = orjson.loads(payload)
    return position
