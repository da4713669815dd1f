"""Identifiers: random ones for requests, derived ones for faces and pictures, and ARNs."""

import hashlib
import re
import uuid

_COLLECTION_ARN = re.compile(r"(?:arn:)?aws:rekognition:([a-z0-9-]+):(\d{12}):collection/([a-zA-Z0-9_.\-]{1,255})")


def new_id() -> str:
    """Return a random lowercase UUID (version 4)."""
    return str(uuid.uuid4())


def derived_id(*parts: str | bytes) -> str:
    """Return the lowercase UUID that these parts always give, in the form of RFC 9562's version 8.

    Rekognition gives the same picture the same ids when it is indexed again; deriving them from the picture's
    digest makes IndexFaces idempotent without a lookup table.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    raw = bytearray(digest.digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def collection_arn(region: str, account_id: str, collection_id: str) -> str:
    """Return the ARN of a collection."""
    return f"arn:aws:rekognition:{region}:{account_id}:collection/{collection_id}"


def parse_collection_arn(arn: str) -> tuple[str, str, str] | None:
    """Split a collection's ARN into region, account id and collection id; None when it is not one.

    The form without ``arn:`` that AWS's own CreateCollection examples print is accepted too.
    """
    match = _COLLECTION_ARN.fullmatch(arn)
    return (match[1], match[2], match[3]) if match else None
