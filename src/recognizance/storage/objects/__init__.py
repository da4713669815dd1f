"""Where the pictures that requests name by bucket and key come from: an S3 store or a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from recognizance.core.errors import InvalidS3ObjectError, SetupError
from recognizance.core.settings import ENV_PREFIX
from recognizance.storage.objects.folder import FolderObjectStore

if TYPE_CHECKING:
    from recognizance.core.settings import Settings

__all__ = ["FolderObjectStore", "NoObjectStore", "ObjectStore", "open_object_store"]


class ObjectStore(Protocol):
    """Reads whole objects. Safe to use from many threads."""

    def read(self, bucket: str, key: str, version: str | None, limit: int) -> bytes:
        """Return an object's bytes.

        Args:
            bucket: The bucket's name.
            key: The object's key.
            version: The version's id; None takes the newest.
            limit: The most bytes that are read.

        Raises:
            InvalidS3ObjectError: The object cannot be read, for whatever reason.
            ImageTooLargeError: It has more bytes than the limit.
        """
        ...


class NoObjectStore:
    """Stands where neither an S3 store nor a folder is configured."""

    def read(self, bucket: str, key: str, version: str | None, limit: int) -> bytes:  # noqa: ARG002 - the protocol
        """Refuse, and name the settings that would change that."""
        raise InvalidS3ObjectError(
            "This server has no object store: an operator has to set "
            f"{ENV_PREFIX}S3_ENDPOINT_URL or {ENV_PREFIX}S3_REGION (an S3 store) or {ENV_PREFIX}BUCKETS_FOLDER "
            "(a local folder)."
        )


def open_object_store(settings: Settings) -> ObjectStore:
    """Return the object store that the settings describe. No bucket is contacted before the first read.

    Raises:
        SetupError: Both an S3 store and a folder are set, half of a key pair is, or the folder does not exist.
    """
    s3 = (settings.s3_endpoint_url, settings.s3_region, settings.s3_access_key_id, settings.s3_secret_access_key)
    if settings.buckets_folder is not None:
        if any(s3):
            raise SetupError("Set either buckets_folder or the s3_* settings, not both.")
        return FolderObjectStore(settings.buckets_folder)
    if not any(s3):
        return NoObjectStore()
    from recognizance.storage.objects.s3 import S3ObjectStore  # boto3 takes a moment: only where it is used

    return S3ObjectStore.open(settings)
