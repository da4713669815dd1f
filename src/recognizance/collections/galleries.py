"""The collections that are held in memory to be searched."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from recognizance.collections.changes import Change
from recognizance.collections.gallery import Gallery, Kind
from recognizance.collections.index import Cache, Index, ScanIndex
from recognizance.collections.recall import RecallMonitor
from recognizance.collections.register import CacheRegister, forget_deleted
from recognizance.core.settings import Settings
from recognizance.storage.database import Database
from recognizance.storage.repositories import collections
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.vision.contracts import contract_of_version

log = structlog.get_logger(__name__)

FOLDER = "cache"
"""Name of the folder below the data folder; it may be deleted while nothing runs, and comes back."""


class Galleries:
    """The galleries of a process. A collection is loaded when it is first searched.

    Args:
        database: Where the rows are.
        settings: Names the data folder, and says up to which size collections are searched exactly.

    Attributes:
        recall: Measures what ordinary searches miss.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._folder = settings.data / FOLDER
        self._exact_up_to = settings.exact_faces
        self.recall = RecallMonitor(settings.checked_searches)
        self._loaded: dict[int, Gallery] = {}
        self._lock = threading.Lock()

    def current(self, collection: CollectionRow) -> Gallery:
        """Return a collection's gallery, no older than the row, which was just read.

        Raises:
            SetupError: This version of the program no longer has the collection's model contract.
        """
        gallery = self.get(collection)
        if gallery.revision < collection.revision:
            self.follow(gallery, collection.revision)
        return gallery

    def get(self, collection: CollectionRow) -> Gallery:
        """Return a collection's gallery, however old.

        Raises:
            SetupError: This version of the program no longer has the collection's model contract.
        """
        dimensions = contract_of_version(collection.contract_version).dimensions
        with self._lock:
            gallery = self._loaded.get(collection.pk)
            if gallery is None:
                gallery = Gallery(collection.pk, self._new_index(collection, dimensions + 1))
                self._loaded[collection.pk] = gallery
        return gallery

    def load_large(self) -> None:
        """Load every collection that is searched by codes, one after the other."""
        with self._database.read() as connection:
            large = [one for one in collections.page(connection, 0, 2**31) if one.face_count > self._exact_up_to]
        for collection in large:
            try:
                self.current(collection)
            except SQLAlchemyError:
                raise  # the database's trouble is that of all
            except Exception as error:  # noqa: BLE001 - the other collections are to be loaded all the same
                log.warning("a collection cannot be loaded", collection=collection.collection_id, error=str(error))
                continue
            log.info("a large collection was loaded", collection=collection.collection_id, faces=collection.face_count)

    def follow(self, gallery: Gallery, revision: int) -> None:
        """Let a gallery catch up with the log, unless another thread has brought it to this revision meanwhile."""
        with gallery.lock:
            if gallery.revision < revision:
                gallery.take_over()
                with self._database.read() as connection:
                    gallery.follow(connection)

    def _new_index(self, collection: CollectionRow, dimensions: int) -> Callable[[Kind], Index]:
        folder = self._folder_of(collection)

        def make(kind: Kind) -> Index:
            register = CacheRegister(self._database, collection.pk, kind)
            return ScanIndex(dimensions, Cache(folder / kind, dimensions, register), exact_up_to=self._exact_up_to)

        return make

    def _folder_of(self, collection: CollectionRow) -> Path:
        # The time keeps two databases that take turns in one data folder apart.
        return self._folder / f"{collection.pk}-{int(collection.created_at.timestamp() * 1e6)}"

    def cached_bytes(self, collection: CollectionRow) -> int:
        """Return how many bytes the files of a collection's index have, all processes' of this data folder."""
        return sum(path.stat().st_size for path in self._folder_of(collection).rglob("*") if path.is_file())

    def committed(self, change: Change) -> None:
        """Take over a change that was committed by this process, where its collection is loaded."""
        with self._lock:
            gallery = self._loaded.get(change.collection.pk)
        if gallery:
            gallery.apply(change)

    def loaded(self) -> dict[int, Gallery]:
        """Return the galleries that are loaded, by the keys of their collections."""
        with self._lock:
            return dict(self._loaded)

    def drop(self, collection: CollectionRow) -> None:
        """Forget a collection that was deleted, its files too."""
        self.forget(collection.pk)
        shutil.rmtree(self._folder_of(collection), ignore_errors=True)

    def forget(self, collection_pk: int) -> None:
        """Forget a collection."""
        with self._lock:
            gallery = self._loaded.pop(collection_pk, None)
        if gallery:
            gallery.close()

    def clear(self) -> None:
        """Forget every collection."""
        for pk in self.loaded():
            self.forget(pk)

    def sweep(self) -> None:
        """Forget what other processes deleted, and delete the files of collections that do not exist."""
        # What is there before the database is asked cannot belong to a collection that is made after that.
        loaded, folders = self.loaded(), list(self._folder.glob("*-*"))
        with self._database.read() as connection:
            kept = collections.revisions(connection)
        for pk in loaded.keys() - kept.keys():
            self.forget(pk)
        for folder in folders:
            name, _, _ = folder.name.partition("-")
            if name.isdecimal() and int(name) not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        forget_deleted(self._database)
