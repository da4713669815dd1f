"""An S3 store, or anything that speaks its protocol."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from recognizance.core import waiting
from recognizance.core.errors import ImageTooLargeError, InvalidS3ObjectError, SetupError
from recognizance.storage.objects.listing import list_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.client import S3Client

    from recognizance.core.settings import Settings
    from recognizance.storage.objects.listing import Entry

_log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0
_WHOLE_OBJECT_SECONDS = 60.0
_CHUNK_BYTES = 64 * 1024

_PARSING = (ValueError, ResponseParserError, RecursionError)
"""How botocore fails on keys that no URL can hold, on answers that are not S3's, and on redirects without a region."""


class S3ObjectStore:
    """Reads objects through boto3.

    Args:
        client: The S3 client; boto3's clients may be shared by threads.
        deadline: Seconds that one object may take to arrive. The client's own read timeout only bounds each pause.
    """

    def __init__(self, client: S3Client, deadline: float = _WHOLE_OBJECT_SECONDS) -> None:
        self._client = client
        self._deadline = deadline

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Build the client that the ``s3_*`` settings describe.

        Without a key pair in the settings boto3 looks where it always looks (profile, instance role), and may ask
        the machine's metadata service at once.

        Raises:
            SetupError: Half of a key pair, or an endpoint that is no URL.
        """
        key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
        if (key is None) != (secret is None):
            raise SetupError("s3_access_key_id and s3_secret_access_key come together; set both or neither.")
        try:
            client = boto3.client(
                "s3",
                endpoint_url=settings.s3_endpoint_url,
                region_name=settings.s3_region or settings.region,
                aws_access_key_id=key,
                aws_secret_access_key=secret.get_secret_value() if secret else None,
                config=Config(  # type: ignore[call-arg]  # the stubs lack ignore_configured_endpoint_urls
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 2},
                    max_pool_connections=settings.max_remote_waits,
                    # A machine that runs clients of this server may name the server in AWS_ENDPOINT_URL; pictures
                    # must not be looked for there.
                    ignore_configured_endpoint_urls=True,
                ),
            )
        except (ValueError, BotoCoreError) as error:
            raise SetupError(f"The s3_* settings describe no S3 store: {error}") from error
        return cls(client)

    def read(self, bucket: str, key: str, version: str | None, limit: int) -> bytes:
        """Return an object's bytes; see :class:`~recognizance.storage.objects.ObjectStore`."""
        # "." and ".." are names to S3's pattern but not to a URL, where they lead out of the store's buckets.
        if not bucket.strip(".") or not key:
            raise InvalidS3ObjectError
        arguments: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version is not None:
            arguments["VersionId"] = version
        try:
            with waiting.elsewhere("objects"):
                return self._fetch(arguments, limit)
        except (ClientError, BotoCoreError, *_PARSING) as error:
            _log.info("s3.read_failed", bucket=bucket, cause=str(error))
            raise InvalidS3ObjectError from error

    def _fetch(self, arguments: dict[str, Any], limit: int) -> bytes:
        answer = self._client.get_object(**arguments)
        with closing(answer["Body"]) as body:
            if answer.get("ContentLength", 0) > limit:  # a chunked answer has no length
                raise ImageTooLargeError
            return self._receive(body, limit)

    def entries(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Give a bucket's objects; see :class:`~recognizance.storage.objects.ListedObjectStore`."""
        return list_s3(self._client, bucket, prefix, after)

    def _receive(self, body: Any, limit: int) -> bytes:  # noqa: ANN401 - botocore's StreamingBody has no types
        end = time.monotonic() + self._deadline
        data = bytearray()
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            data += chunk
            if len(data) > limit:  # whatever the store said about its length
                raise ImageTooLargeError
            if time.monotonic() > end:
                raise InvalidS3ObjectError("The object took too long to arrive from S3.")
        return bytes(data)
