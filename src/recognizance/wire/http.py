"""A request as the wire's modules see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def canonical_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lowercase name, in the one form that is both signed and read.

    Values are trimmed, runs of blanks in them become one space, and the values of a repeated header are joined by
    commas (Signature Version 4, "Create a canonical request"). Whatever reads a header reads this form, so nobody can
    append a second ``X-Amz-Target`` that is obeyed but not signed. Latin-1 maps bytes to characters one to one.
    """
    headers: dict[str, list[str]] = {}
    for name, value in raw:
        headers.setdefault(name.decode("latin-1").lower(), []).append(b" ".join(value.split()).decode("latin-1"))
    return {name: ",".join(values) for name, values in headers.items()}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, read to its end.

    Attributes:
        id: The request id that answer and log carry.
        method: The HTTP method.
        path: The path as it was sent, percent-encoded.
        query: The query string as it was sent, without the question mark.
        headers: The headers in canonical form, see :func:`canonical_headers`.
        body: The body, out of its transfer encoding.
    """

    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
