"""Tags of a collection."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from recognizance.core.errors import ServiceQuotaExceededError
from recognizance.storage.repositories import tags
from recognizance.storage.repositories.collections import CollectionRow

MAX_TAGS = 200
"""The most tags of a resource (API reference, TagResource)."""


def get(connection: Connection, collection: CollectionRow) -> dict[str, str]:
    """Return the tags, sorted by key."""
    return tags.get(connection, collection.pk)


def put(connection: Connection, collection: CollectionRow, new: Mapping[str, str]) -> None:
    """Add tags; a key that exists takes the new value.

    Raises:
        ServiceQuotaExceededError: There would be too many; none is added.
    """
    if len(get(connection, collection).keys() | new.keys()) > MAX_TAGS:
        raise ServiceQuotaExceededError(f"A resource has no more than {MAX_TAGS} tags")
    tags.put(connection, collection.pk, new)


def remove(connection: Connection, collection: CollectionRow, keys: Iterable[str]) -> None:
    """Remove the tags of these keys, where there are any."""
    tags.remove(connection, collection.pk, keys)
