"""Every write and every search on collections, faces and users.

A write is one transaction in the database (rows, vectors and log together); only then do the indexes in memory learn
of it. A search first catches up with what other processes wrote, so that it sees every acknowledged write.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from recognizance.collections import faces as face_rows
from recognizance.collections import maintenance, tagging
from recognizance.collections import users as user_rows
from recognizance.collections.changes import Change, find
from recognizance.collections.maintenance import IndexKind, IndexState, Progress, Verification, ignored
from recognizance.collections.model import (
    Associations,
    Collection,
    FaceDeletions,
    FaceMatch,
    Page,
    PictureFaces,
    Probes,
    RenamedPicture,
    Stored,
    StoredFace,
    User,
    UserMatch,
)
from recognizance.collections.recall import Tally
from recognizance.collections.search import Query, Target, check_contract, search
from recognizance.collections.shared import open_galleries
from recognizance.collections.upkeep import Upkeep
from recognizance.core import clock
from recognizance.core.errors import ResourceAlreadyExistsError, ResourceNotFoundError
from recognizance.core.ids import collection_arn
from recognizance.core.settings import Settings
from recognizance.storage.database import Database
from recognizance.storage.idempotency import Once
from recognizance.storage.idempotency import once as perform_once
from recognizance.storage.repositories import collections
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.vision.contracts import Contract, contract_of_version, load_contract
from recognizance.vision.faces import Faces

if TYPE_CHECKING:
    from recognizance.collections.transfer import Exported, Imported, Incoming
    from recognizance.vision.analyser import Analysers

R = TypeVar("R")
M = TypeVar("M")

__all__ = ["CollectionService"]


class CollectionService:
    """Collections, their faces and their users. Safe to call from many threads.

    Every method that names a collection raises :class:`ResourceNotFoundError` when there is none of that name.
    ``threshold`` is always a similarity, 0 to 100; ``limit`` is the most results wanted, at least 1; ``after`` is the
    ``next_position`` of the page before, 0 for the first page.

    Args:
        database: Where everything is kept.
        analysers: Tells the model contract of new collections.
        settings: Region and account id for ARNs.
    """

    def __init__(self, database: Database, analysers: "Analysers", settings: Settings) -> None:
        self._database = database
        self._analysers = analysers
        self._settings = settings
        self._galleries = open_galleries(database, settings)
        self._upkeep: Upkeep | None = None
        self._upkeep_lock = threading.Lock()

    @contextmanager
    def _change(self, collection_id: str) -> Iterator[Change]:
        """Write to a collection: commit at the end, and only then tell the indexes in memory."""
        with self._database.begin() as connection:
            change = Change.open(connection, collection_id)
            yield change
            change.finish()
        self._galleries.committed(change)

    def _collection(self, row: CollectionRow) -> Collection:
        arn = collection_arn(self._settings.region, self._settings.account_id, row.collection_id)
        return Collection(row.collection_id, arn, row.contract_version, row.face_count, row.user_count, row.created_at)

    def close(self) -> None:
        """Let go of the indexes in memory."""
        if self._upkeep:
            self._upkeep.close()
        self._galleries.clear()

    # Collections

    def create_collection(self, collection_id: str, tags: Mapping[str, str] | None = None) -> Collection:
        """Create an empty collection, pinned to the default model contract.

        Raises:
            ResourceAlreadyExistsError: The name is taken.
            ServiceQuotaExceededError: More than 200 tags.
            SetupError: No model contract is installed.
        """
        return self._create(collection_id, load_contract(self._analysers.default_name()).version, tags or {})

    def _create(self, collection_id: str, contract_version: str, tags: Mapping[str, str]) -> Collection:
        try:
            with self._database.begin() as connection:
                row = collections.insert(connection, collection_id, contract_version, clock.now())
                tagging.put(connection, row, tags)
        except IntegrityError as error:  # to ask first would not do: PostgreSQL lets others insert in between
            raise ResourceAlreadyExistsError(f"The collection id: {collection_id} already exists") from error
        return self._collection(row)

    def describe_collection(self, collection_id: str) -> Collection:
        """Return a collection as it stands."""
        with self._database.read() as connection:
            return self._collection(find(connection, collection_id))

    def contract(self, collection_id: str) -> Contract:
        """Return the model contract that a collection is pinned to: what its pictures must be embedded with.

        Raises:
            SetupError: This version of the program no longer has that contract.
        """
        with self._database.read() as connection:
            return contract_of_version(find(connection, collection_id).contract_version)

    def list_collections(self, *, limit: int = 4096, after: int = 0) -> Page[Collection]:
        """List collections, oldest first."""
        with self._database.read() as connection:
            rows = collections.page(connection, after, limit + 1)
        shown = rows[:limit]
        return Page(tuple(map(self._collection, shown)), shown[-1].pk if len(rows) > limit else None)

    def delete_collection(self, collection_id: str) -> None:
        """Delete a collection with its faces, users and tags."""
        with self._database.begin() as connection:
            row = find(connection, collection_id, lock=True)
            collections.delete(connection, row.pk)
        self._galleries.drop(row)

    def export_collection(self, collection_id: str, path: Path, progress: Progress = ignored) -> "Exported":
        """Write a collection, as it is at one moment, to Parquet files; see :func:`transfer.export`.

        Raises:
            SetupError: A file exists or cannot be written, or this release does not have the model contract.
        """
        from recognizance.collections.transfer import export

        with self._database.read() as connection:
            row = find(connection, collection_id)
            return export(connection, row, contract_of_version(row.contract_version).dimensions, path, progress)

    def import_collection(
        self, incoming: "Incoming", collection_id: str | None = None, progress: Progress = ignored
    ) -> "Imported":
        """Store what a collection does not have yet of a verified export, and make the collection if need be.

        Faces keep their ids. A collection that is made has the export's tags, one that exists keeps its own.

        Args:
            incoming: The export.
            collection_id: Where to; by default the name that it was exported under.
            progress: Told how many rows are done.

        Raises:
            InvalidParameterError: The collection is pinned to another contract than the export.
            ServiceQuotaExceededError: The collection or one of its users would have too many faces.
        """
        from recognizance.collections.transfer import Imported, store

        name, version, created = collection_id or incoming.about.collection, incoming.about.face_model_version, False
        try:
            with self._database.read() as connection:
                check_contract(find(connection, name), version)
        except ResourceNotFoundError:
            self._create(name, version, incoming.about.tags)
            created = True
        faces, users = store(incoming, lambda: self._change(name), progress)
        return Imported(name, created, faces, incoming.about.rows - faces, users)

    # Tags of a collection

    def tag_collection(self, collection_id: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that exists takes the new value.

        Raises:
            ServiceQuotaExceededError: The collection would have more than 200 tags; none is added.
        """
        with self._database.begin() as connection:
            tagging.put(connection, find(connection, collection_id, lock=True), tags)

    def untag_collection(self, collection_id: str, keys: Sequence[str]) -> None:
        """Remove tags; keys that are not there are ignored."""
        with self._database.begin() as connection:
            tagging.remove(connection, find(connection, collection_id, lock=True), keys)

    def collection_tags(self, collection_id: str) -> dict[str, str]:
        """Return the tags, sorted by key."""
        with self._database.read() as connection:
            return tagging.get(connection, find(connection, collection_id))

    # Faces

    def index_faces(
        self,
        collection_id: str,
        faces: Faces,
        *,
        picture_digest: bytes,
        contract_version: str,
        external_image_id: str | None = None,
    ) -> list[StoredFace]:
        """Store embedded faces of one picture, all or none.

        A face that the collection has already (same picture, place and ``external_image_id``) is not stored again;
        what is stored is returned.

        Args:
            collection_id: The collection.
            faces: The faces to keep, embedded; quality filters are the caller's.
            picture_digest: SHA-256 of the picture file (``Picture.digest``).
            contract_version: The version of the contract that embedded them.
            external_image_id: The caller's name for the picture.

        Returns:
            One stored face for each of ``faces``, in their order.

        Raises:
            InvalidParameterError: Faces without embeddings, or of another contract than the collection's.
            ServiceQuotaExceededError: The collection would hold more than 20,000,000 faces.
        """
        picture = PictureFaces(faces, picture_digest, external_image_id)
        return list(self.index_pictures(collection_id, [picture], contract_version=contract_version).pictures[0])

    def index_pictures(
        self,
        collection_id: str,
        pictures: Sequence[PictureFaces | RenamedPicture],
        *,
        contract_version: str,
        also: Callable[[Connection, int], None] | None = None,
    ) -> Stored:
        """Store the embedded faces of many pictures in one transaction, all or none; see :meth:`index_faces`.

        Args:
            collection_id: The collection.
            pictures: The pictures.
            contract_version: The version of the contract that embedded their faces.
            also: What else to write in the same transaction, given how many faces are new. What it raises undoes all.
        """
        new = [
            one.rows
            if isinstance(one, RenamedPicture)
            else face_rows.new_faces(one.faces, one.picture_digest, contract_version, one.external_image_id)
            for one in pictures
        ]
        with self._change(collection_id) as change:
            stored = iter(face_rows.index(change, [face for faces in new for face in faces], contract_version))
            if also is not None:
                also(change.connection, len(change.faces))
        return Stored(tuple(tuple(islice(stored, len(faces))) for faces in new), added=len(change.faces))

    def renamed_picture(
        self, collection_id: str, face_ids: Sequence[str], *, picture_digest: bytes, external_image_id: str | None
    ) -> RenamedPicture | None:
        """Return a stored picture as it is under another name, to be stored by :meth:`index_pictures`.

        Args:
            collection_id: The collection.
            face_ids: The faces of the picture under the name that it has.
            picture_digest: SHA-256 of the picture file.
            external_image_id: The other name.

        Returns:
            None when one of the faces has been deleted.
        """
        with self._database.read() as connection:
            collection = find(connection, collection_id)
            rows = face_rows.renamed(connection, collection, face_ids, picture_digest, external_image_id)
        return None if rows is None else RenamedPicture(tuple(rows))

    def list_faces(
        self,
        collection_id: str,
        *,
        limit: int = 4096,
        after: int = 0,
        user_id: str | None = None,
        face_ids: Sequence[str] | None = None,
    ) -> Page[StoredFace]:
        """List faces in the order they were stored, only those of a user or of some ids where these are given."""
        with self._database.read() as connection:
            collection = find(connection, collection_id)
            return face_rows.page(connection, collection, limit=limit, after=after, user_id=user_id, face_ids=face_ids)

    def delete_faces(self, collection_id: str, face_ids: Sequence[str]) -> FaceDeletions:
        """Delete faces; those of a user stay (ASSOCIATED_TO_AN_EXISTING_USER) until they are disassociated."""
        with self._change(collection_id) as change:
            return face_rows.delete(change, face_ids)

    def search_faces(
        self, collection_id: str, probes: Probes, *, threshold: float = 80.0, limit: int = 4096
    ) -> list[list[FaceMatch]]:
        """Find the stored faces most similar to each probe.

        Returns:
            One list for each probe, the most similar face first; equals in the order they were stored.

        Raises:
            InvalidParameterError: The probes were embedded by another contract than the collection's.
        """
        return self._search(face_rows.TARGET, collection_id, _asked(probes), threshold, limit)

    def search_faces_by_id(
        self, collection_id: str, face_id: str, *, threshold: float = 80.0, limit: int = 4096
    ) -> list[FaceMatch]:
        """Find the faces most similar to a stored one, itself left out.

        Raises:
            InvalidParameterError: The collection has no such face.
        """

        def ask(connection: Connection, collection: CollectionRow) -> Query:
            pk, vector = face_rows.vector(connection, collection, face_id)
            return Query.of_row(vector, leave_out=pk)

        return self._search(face_rows.TARGET, collection_id, ask, threshold, limit)[0]

    # Users

    def create_user(self, collection_id: str, user_id: str, *, once: Once | None = None) -> None:
        """Create a user without faces.

        Raises:
            ConflictError: The collection has a user of that name.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """

        def create() -> dict[str, object]:
            user_rows.create(change, user_id)
            return {}

        with self._change(collection_id) as change:
            _once(change, once, create)

    def delete_user(self, collection_id: str, user_id: str, *, once: Once | None = None) -> None:
        """Delete a user; its faces stay, associated with nobody.

        Raises:
            ResourceNotFoundError: No such user.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """

        def delete() -> dict[str, object]:
            change.remove_user(user_rows.get(change.connection, change.collection, user_id))
            return {}

        with self._change(collection_id) as change:
            _once(change, once, delete)

    def list_users(self, collection_id: str, *, limit: int = 500, after: int = 0) -> Page[User]:
        """List users, oldest first."""
        with self._database.read() as connection:
            return user_rows.page(connection, find(connection, collection_id), limit=limit, after=after)

    def associate_faces(
        self,
        collection_id: str,
        user_id: str,
        face_ids: Sequence[str],
        *,
        threshold: float = 75.0,
        once: Once | None = None,
    ) -> Associations:
        """Associate faces with a user.

        The threshold counts only when the user has a face already: then each face must resemble the user as it was
        before this request. Faces that are the user's already are passed over in silence.

        Raises:
            ResourceNotFoundError: No such user.
            ServiceQuotaExceededError: The user has 100 faces already.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """
        with self._change(collection_id) as change:
            done = _once(
                change,
                once,
                lambda: user_rows.to_json(user_rows.associate(change, user_id, face_ids, threshold)),
            )
        return user_rows.from_json(done)

    def disassociate_faces(
        self, collection_id: str, user_id: str, face_ids: Sequence[str], *, once: Once | None = None
    ) -> Associations:
        """Take faces from a user; faces that are nobody's are passed over in silence.

        Raises:
            ResourceNotFoundError: No such user.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """
        with self._change(collection_id) as change:
            done = _once(
                change,
                once,
                lambda: user_rows.to_json(user_rows.disassociate(change, user_id, face_ids)),
            )
        return user_rows.from_json(done)

    def search_users(
        self, collection_id: str, probes: Probes, *, threshold: float = 80.0, limit: int = 500
    ) -> list[list[UserMatch]]:
        """Find the users most similar to each probe, the most similar first; users without faces match nobody.

        Raises:
            InvalidParameterError: The probes were embedded by another contract than the collection's.
        """
        return self._search(user_rows.TARGET, collection_id, _asked(probes), threshold, limit)

    def search_users_by_face_id(
        self, collection_id: str, face_id: str, *, threshold: float = 80.0, limit: int = 500
    ) -> list[UserMatch]:
        """Find the users most similar to a stored face, its own user among them.

        Raises:
            InvalidParameterError: The collection has no such face.
        """

        def ask(connection: Connection, collection: CollectionRow) -> Query:
            return Query.of_row(face_rows.vector(connection, collection, face_id)[1])

        return self._search(user_rows.TARGET, collection_id, ask, threshold, limit)[0]

    def search_users_by_user_id(
        self, collection_id: str, user_id: str, *, threshold: float = 80.0, limit: int = 500
    ) -> list[UserMatch]:
        """Find the users most similar to a user, itself left out; a user without faces resembles nobody.

        Raises:
            ResourceNotFoundError: No such user.
        """

        def ask(connection: Connection, collection: CollectionRow) -> Query:
            return user_rows.query(connection, collection, user_id)

        found = self._search(user_rows.TARGET, collection_id, ask, threshold, limit)
        return found[0] if found else []

    def _search(
        self,
        target: Target[R, M],
        collection_id: str,
        ask: Callable[[Connection, CollectionRow], Query],
        threshold: float,
        limit: int,
    ) -> list[list[M]]:
        self.keep_up()
        return search(
            self._database,
            self._galleries,
            target,
            collection_id,
            ask,
            threshold=threshold,
            limit=limit,
            exact=self._settings.exact_searches,
        )

    # Upkeep

    def keep_up(self, *, load: bool = False) -> None:
        """Start what keeps the indexes in order beside the requests; the first search does, too.

        Args:
            load: Whether to load large collections at once, before anybody searches them.
        """
        with self._upkeep_lock:
            if self._upkeep is None:
                self._upkeep = Upkeep(self._database, self._galleries, load=load)

    @property
    def recall(self) -> Tally:
        """What the ordinary search was found to miss, where searches are checked."""
        return self._galleries.recall.tally

    def index_state(self, collection_id: str) -> IndexState:
        """Return how a collection is searched, and what is kept on the disk for that."""
        with self._database.read() as connection:
            row = find(connection, collection_id)
        if self._settings.milvus_url:
            return IndexState("milvus", 0)
        kind: IndexKind = "exact" if row.face_count <= self._settings.exact_faces else "scan"
        return IndexState(kind, self._galleries.cached_bytes(row))

    def verify(self, collection_id: str, progress: Progress = ignored) -> Verification:
        """Compare a collection's index with the database, and fast searches with exact ones."""
        return maintenance.verify(self._database, self._galleries, collection_id, progress)

    def rebuild(self, collection_id: str, progress: Progress = ignored) -> None:
        """Build a collection's index anew from the database.

        Raises:
            SetupError: Another process has the index's files in hand.
        """
        maintenance.rebuild(self._database, self._galleries, collection_id, progress)

    def compact(self, collection_id: str) -> None:
        """Write a collection's index anew without what was deleted.

        Raises:
            SetupError: Another process has the index's files in hand.
        """
        maintenance.compact(self._database, self._galleries, collection_id)

    def let_go(self, collection_id: str) -> None:
        """Let go of a collection's index, its memory and its files, until the next search."""
        with self._database.read() as connection:
            row = find(connection, collection_id)
        self._galleries.forget(row.pk)


def _asked(probes: Probes) -> Callable[[Connection, CollectionRow], Query]:
    def ask(connection: Connection, collection: CollectionRow) -> Query:
        del connection
        check_contract(collection, probes.contract_version)
        return Query(probes.embeddings, probes.impostor_levels)

    return ask


def _once(change: Change, once: Once | None, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it once in this collection: a token from before it was deleted and made again answers for the one deleted."""
    return perform_once(change.connection, once and once.on(change.collection.pk), action)
