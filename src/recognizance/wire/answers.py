"""What leaves the server: results and errors, as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from recognizance.core.errors import InternalServerError, ServiceError
from recognizance.wire.model import CONTENT_TYPE

if TYPE_CHECKING:
    from recognizance.wire.model import ServiceModel

OK = "OK"
"""What log and metrics show in the place of an error's code."""

_INTERNAL = "The request could not be processed because of a fault of the server. Its log has the cause."


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, ready to be sent.

    Attributes:
        status: The HTTP status.
        body: The body.
        code: The error's code, or :data:`OK`.
        headers: Further headers, by lowercase name.
    """

    status: int
    body: bytes = field(repr=False)
    code: str = OK
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def raw_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Return all headers, as ASGI takes them."""
        return [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"x-amzn-requestid", request_id.encode()),
            *self.headers,
        ]


def result(body: bytes) -> Answer:
    """Return the answer to a request that succeeded."""
    return Answer(200, body)


def error(
    model: ServiceModel,
    request_id: str,
    cause: ServiceError,
    *,
    status: int | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    """Return the answer to a request that failed.

    SDKs find the code in different places: boto3 in ``__type``, the JavaScript SDK in the header too. Rekognition's
    guide shows ``Code`` and ``Logref`` besides. A fault of ours is answered with nothing but the request id.

    Args:
        model: The service, which knows the code's status.
        request_id: The request's id, repeated as ``Logref``.
        cause: The error.
        status: The HTTP status, where HTTP itself has one for the cause.
        headers: Further headers.
    """
    message = _INTERNAL if cause.code == InternalServerError.code else cause.message
    members = {"__type": cause.code, "Code": cause.code, "Logref": request_id, "Message": message}
    return Answer(
        status=status or model.status(cause.code),
        body=orjson.dumps(cause.members | members),
        code=cause.code,
        headers=((b"x-amzn-errortype", cause.code.encode()), *headers),
    )
