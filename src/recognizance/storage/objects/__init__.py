"""Where the pictures that requests name by bucket and key come from: an S3 store or a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from recognizance.core.errors import InvalidS3ObjectError, SetupError
from recognizance.core.settings import ENV_PREFIX
from recognizance.storage.objects.folder import FolderObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recognizance.core.settings import Settings
    from recognizance.storage.objects.listing import Entry

__all__ = ["FolderObjectStore", "ListedObjectStore", "NoObjectStore", "ObjectStore", "open_object_store"]

_CURE = (
    f"an operator has to set {ENV_PREFIX}S3_ENDPOINT_URL or {ENV_PREFIX}S3_REGION (an S3 store) or "
    f"{ENV_PREFIX}BUCKETS_FOLDER (a local folder)."
)


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


class ListedObjectStore(ObjectStore, Protocol):
    """An object store whose buckets can be listed."""

    def entries(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Give a bucket's objects in the order of their keys' bytes.

        Args:
            bucket: The bucket's name.
            prefix: What the keys begin with.
            after: Only keys that come after this one.

        Raises:
            SetupError: The bucket cannot be listed.
        """
        ...


class NoObjectStore:
    """Stands where neither an S3 store nor a folder is configured."""

    def read(self, bucket: str, key: str, version: str | None, limit: int) -> bytes:  # noqa: ARG002 - the protocol
        """Refuse, and name the settings that would change that."""
        raise InvalidS3ObjectError(f"This server has no object store: {_CURE}")

    def entries(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[Entry]:  # noqa: ARG002 - as above
        """Refuse likewise."""
        raise SetupError(f"There is no object store: {_CURE}")


def open_object_store(settings: Settings) -> ListedObjectStore:
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
