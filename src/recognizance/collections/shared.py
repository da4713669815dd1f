"""Collections whose vectors lie in Milvus, which all processes that serve one database share.

Whoever finds that Milvus lacks something pushes it: a search that must see a write, the upkeep after a commit, a sweep
that looks at every collection. What is pushed is always what the database says at that moment, and whoever pushes holds
the collection's turn; so however late a process is, it cannot bring back a face that has been deleted.

How far Milvus has come is written in Milvus itself, after the vectors. So it goes where they go: when Milvus is emptied
or replaced, the marks are gone with them, and everything is pushed again.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection

from recognizance.collections.changes import Change
from recognizance.collections.galleries import Galleries
from recognizance.collections.gallery import REPOSITORIES, Gallery, Kind, as_part, put_changed
from recognizance.collections.index import Coalescer, Hits
from recognizance.collections.index.milvus import MilvusIndex, MilvusServer
from recognizance.collections.index.milvus.layout import Layout, Marks, erase
from recognizance.collections.index.milvus.server import MissingError
from recognizance.core import waiting
from recognizance.core.errors import ResourceNotFoundError, SetupError, TemporarilyUnavailableError
from recognizance.core.settings import Settings
from recognizance.storage import locks
from recognizance.storage.database import Database
from recognizance.storage.repositories import collections, face_log, faces, meta
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.storage.turns import TurnTakenError, turn
from recognizance.vision.contracts import contract_of_version

log = structlog.get_logger(__name__)

FILLED_AT_ONCE = 20_000
"""Faces up to which a search waits while they are pushed; it takes seconds. Larger collections are filled meanwhile."""

_ROWS_AT_ONCE = 8192
"""Rows pushed in one turn. Less than Milvus gives in one answer, so that their keys can be compared."""

_PAGE = 1000
_one_at_a_time = threading.Lock()  # large collections are filled one after the other
_AGAIN_SECONDS = 1.0

OnRows = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Filled:
    """What was done to make Milvus equal to the database.

    Attributes:
        written: Vectors pushed.
        removed: Vectors removed that the database does not have.
        rows: Rows of the database that were looked at.
    """

    written: int
    removed: int
    rows: int


class SharedGallery(Gallery):
    """One collection's indexes in Milvus.

    Args:
        database: The truth.
        server: Milvus.
        installation: Tells this database's vectors from those of other databases.
        collection_pk: The collection's key.
        dimensions: Length of a stored vector.
        stopped: Set when the process ends: what takes long ends too, and goes on next time.
    """

    def __init__(
        self,
        database: Database,
        server: MilvusServer,
        installation: str,
        collection_pk: int,
        dimensions: int,
        stopped: threading.Event,
    ) -> None:
        made: dict[Kind, MilvusIndex] = {
            kind: MilvusIndex(server, Layout(server, installation, kind, dimensions), collection_pk)
            for kind in ("faces", "users")
        }
        super().__init__(collection_pk, made.__getitem__)
        self._in_milvus = made
        self.face_searches = _SideBySide(self, made["faces"])
        self.user_searches = _SideBySide(self, made["users"])
        self._database, self._server = database, server
        self._marks = Marks(server, installation)
        self._stopped = stopped
        self._held = -1
        self._wanted = -1
        self._checked = False
        self._filler: threading.Thread | None = None

    @property
    def revision(self) -> int:
        """The entry of the log up to which Milvus is known to hold everything; -1 before that was looked at."""
        return self._held

    @contextmanager
    def _turn(self) -> Iterator[Connection]:
        try:
            with turn(self._database, "milvus", str(self._pk), timeout_seconds=self._server.timeout) as connection:
                yield connection
        except TurnTakenError as error:
            log.warning("another process is still pushing to Milvus", collection=self._pk)
            raise TemporarilyUnavailableError from error

    @contextmanager
    def _filling(self) -> Iterator[tuple[Connection, int]]:
        """Hold the turn of a collection that exists; give its revision too.

        Raises:
            ResourceNotFoundError: It was deleted: what would be pushed now would never be erased.
        """
        with self._turn() as connection:
            revision, _ = collections.counters(connection, self._pk)
            if revision < 0:
                raise ResourceNotFoundError("The collection was deleted.")
            yield connection, revision

    def lost(self) -> None:
        """Look at Milvus again before the next search: something there was missing."""
        self._held, self._checked = -1, False

    # Following the log

    def follow(self, connection: Connection) -> None:
        """See :meth:`catch_up`; what the connection sees may be older than the turn."""
        del connection
        self.catch_up()

    def catch_up(self) -> None:
        """Push what Milvus lacks. A large collection that is not there at all is filled beside the requests.

        Whoever calls this holds no connection to the database: the turn takes one, and threads that each held one and
        waited for another would wait for each other.

        Raises:
            ResourceNotFoundError: The collection was deleted.
            TemporarilyUnavailableError: Milvus does not answer, or is being filled.
        """
        for _ in range(2):
            with self._turn() as fresh:
                if self._push(fresh):
                    return
                _, count = collections.counters(fresh, self._pk)
            if count > FILLED_AT_ONCE:
                self._fill_beside()
                raise TemporarilyUnavailableError(
                    "The search index of this collection is being filled. Try your call again later."
                )
            self.fill()
        raise TemporarilyUnavailableError

    def _push(self, connection: Connection) -> bool:
        """Push what the log says; return whether it reached far enough back."""
        held = min(self._marks.get(self._pk).values(), default=-1)
        newest, count = collections.counters(connection, self._pk)
        if newest < 0:  # deleted meanwhile; nothing may be pushed any more
            self._held = -1
            return True
        if held > newest:
            self._disown()
            return False
        if held < newest:
            entries = face_log.since(connection, self._pk, held) if held >= 0 else []
            if not entries or entries[-1][0] - held != len(entries):
                return False
            put_changed(connection, entries, self.indexes)
            held = entries[-1][0]
            self._marks.put(self._pk, {"faces": held, "users": held})
        if not self._checked and held == newest:
            if not self._belongs(connection, count):
                self._disown()
                return False
            self._checked = True
        self._held = held
        return True

    def _disown(self) -> None:
        """Have what Milvus holds removed: it is that of another history of the database."""
        log.warning("what Milvus holds is not this database's, and is filled again", collection=self._pk)
        for index in self._in_milvus.values():
            index.clear()
        self._marks.put(self._pk, {"faces": -1, "users": -1})

    def _belongs(self, connection: Connection, count: int) -> bool:
        """Tell whether Milvus has as many faces as the database, and the newest one's vector.

        An older copy of the database may have been put in its place, and been written to up to the same revision.
        """
        if len(self.faces) != count:
            return collections.counters(connection, self._pk)[1] != count  # written to meanwhile: it says nothing
        newest = faces.newest(connection, self._pk)
        if newest is None:
            return True
        ids, vectors = self.faces.get(np.array([newest[0]]))
        return len(ids) == 1 and vectors[0].tobytes() == newest[1]

    def apply(self, change: Change) -> None:
        """Remember that a change was committed: the upkeep will push it, or a search that comes first."""
        self._wanted = max(self._wanted, change.revision)

    def tend(self) -> None:
        """Push what was committed, unless somebody is about it."""
        with suppress(TemporarilyUnavailableError):  # the log has it; there is always a next time
            self.push()

    def push(self) -> bool:
        """Push what this process committed; return whether that is done.

        Raises:
            TemporarilyUnavailableError: Milvus does not answer, or is being filled.
        """
        if self._wanted > self._held and self.lock.acquire(blocking=False):
            try:
                self.catch_up()
            except ResourceNotFoundError:
                return True
            finally:
                self.lock.release()
        return self._wanted <= self._held

    # Filling

    def rebuild(self, connection: Connection, on_rows: OnRows = lambda _: None) -> None:
        """Push every vector again, and remove what the database does not have. Searches go on meanwhile.

        Args:
            connection: Not used: each step reads what the database says by then.
            on_rows: Told of every few rows that are done, how many.
        """
        del connection
        self.fill(rewrite=True, on_rows=on_rows)

    def fill(self, *, rewrite: bool = False, on_rows: OnRows = lambda _: None) -> Filled:
        """Make Milvus equal to the database, some thousand rows at a time, and others' changes in between.

        What was done before an interruption is not done again.

        Args:
            rewrite: Whether vectors are pushed that are there already. Those of users, which change, always are.
            on_rows: Told of every few rows that are done, how many.

        Raises:
            ResourceNotFoundError: The collection was deleted.
            TemporarilyUnavailableError: Milvus does not answer, or the process ends.
        """
        done = Filled(0, 0, 0)
        with self._filling() as (_, start):
            mark = min(self._marks.get(self._pk).values(), default=-1)
            if not rewrite or mark > start:
                self._marks.put(self._pk, {"faces": -1, "users": -1})
                self._held = -1
        for kind in ("faces", "users"):
            after: int | None = 0
            while after is not None:
                if self._stopped.is_set():
                    raise TemporarilyUnavailableError
                after, some = self._fill_some(kind, after, rewrite=rewrite or kind == "users")
                done = Filled(done.written + some.written, done.removed + some.removed, done.rows + some.rows)
                on_rows(some.rows)
        with self._filling():
            if min(self._marks.get(self._pk).values(), default=-1) < start:
                self._marks.put(self._pk, {"faces": start, "users": start})
        self._checked = True
        log.info(
            "Milvus was made equal to the database", collection=self._pk, written=done.written, removed=done.removed
        )
        return done

    def _fill_some(self, kind: Kind, after: int, *, rewrite: bool) -> tuple[int | None, Filled]:
        """Make the next rows equal; return the last one's key, None after the last, and how many there were."""
        index = self._in_milvus[kind]
        with self._filling() as (connection, _):
            with closing(REPOSITORIES[kind].vectors_after(connection, self._pk, after, _ROWS_AT_ONCE)) as parts:
                rows: Sequence[tuple[int, bytes]] = next(parts, [])
            last = rows[-1][0] if len(rows) == _ROWS_AT_ONCE else None
            ids, vectors = as_part(rows) if rows else index.nothing()
            written, removed = index.make_equal(after, last, ids, vectors, rewrite=rewrite)
        return last, Filled(written, removed, len(rows))

    def _fill_beside(self) -> None:
        if self._filler is None or not self._filler.is_alive():
            self._filler = threading.Thread(target=self._fill_quietly, name="filling", daemon=True)
            self._filler.start()

    def _fill_quietly(self) -> None:
        try:
            with _one_at_a_time:
                self.fill()
        except ResourceNotFoundError:
            pass
        except TemporarilyUnavailableError:
            log.warning("filling Milvus was interrupted; the next search or sweep goes on with it", collection=self._pk)

    def close(self) -> None:
        """Wait for the filling to end, if the process is to end; that of a deleted collection ends by itself."""
        if self._filler is not None and self._stopped.is_set():
            self._filler.join()


class _SideBySide(Coalescer):
    """Searches at once, for Milvus has processors of its own; and notices when Milvus has lost the vectors."""

    def __init__(self, gallery: SharedGallery, index: MilvusIndex) -> None:
        super().__init__(lambda: index)
        self._gallery = gallery

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = False
    ) -> list[Hits]:
        """Find the vectors with the greatest dot product with each probe; see ``Index.search``."""
        try:
            with waiting.elsewhere("vectors"):
                return self.index.search(probes, count, minimum, exact=exact)
        except MissingError:
            self._gallery.lost()
            raise


class SharedGalleries(Galleries):
    """The galleries of a process whose vectors lie in Milvus.

    Args:
        database: Where the rows are.
        settings: Names the Milvus server.

    Raises:
        SetupError: The package pymilvus is not installed.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        super().__init__(database, settings)
        self._server = MilvusServer(settings)
        self._installation = installation(database)
        self._stopped = threading.Event()
        self._deleted = self._closing = False
        self._news = threading.Event()
        self._pusher: threading.Thread | None = None

    def get(self, collection: CollectionRow) -> Gallery:
        """Return a collection's gallery, whatever Milvus holds of it.

        Raises:
            SetupError: This version of the program no longer has the collection's model contract.
        """
        dimensions = contract_of_version(collection.contract_version).dimensions + 1
        with self._lock:
            gallery = self._loaded.get(collection.pk)
            if gallery is None:
                gallery = SharedGallery(
                    self._database, self._server, self._installation, collection.pk, dimensions, self._stopped
                )
                self._loaded[collection.pk] = gallery
        return gallery

    def follow(self, gallery: Gallery, revision: int) -> None:
        """Have pushed what Milvus lacks, unless another thread has done so meanwhile."""
        with waiting.elsewhere("vectors"), gallery.lock:  # those who wait for the lock wait for Milvus, too
            if isinstance(gallery, SharedGallery) and gallery.revision < revision:
                gallery.catch_up()

    def load_large(self) -> None:
        """Push what Milvus lacks of all collections, before anybody searches them."""
        self.sweep()

    def committed(self, change: Change) -> None:
        """Have a change that was committed pushed, beside the requests."""
        self.get(change.collection).apply(change)
        with self._lock:
            self._news.set()
            if self._pusher is None:
                self._pusher = threading.Thread(target=self._push_news, name="pushing", daemon=True)
                self._pusher.start()

    def _push_news(self) -> None:
        while not self._closing:
            self._news.wait()
            self._news.clear()
            if not self._push_all():
                time.sleep(_AGAIN_SECONDS)
                self._news.set()

    def _push_all(self) -> bool:
        """Push what this process committed; return whether that is done."""
        try:
            done = [gallery.push() for gallery in self.loaded().values() if isinstance(gallery, SharedGallery)]
        except TemporarilyUnavailableError:
            return False
        return all(done)

    def drop(self, collection: CollectionRow) -> None:
        """Forget a collection that was deleted; the next sweep erases it in Milvus."""
        self.forget(collection.pk)
        self._deleted = True

    def sweep(self) -> None:
        """Erase in Milvus the collections that were deleted, and push what it lacks of the others."""
        try:
            marks = Marks(self._server, self._installation).all()
            self._erase(marks.keys())
            for row in self._rows():
                if row.revision > min(marks.get(row.pk, {}).values(), default=0):
                    self._push(row)
        except TemporarilyUnavailableError:
            return
        self._deleted = False

    def _erase(self, candidates: Iterable[int]) -> None:
        with self._database.read() as connection:
            kept = collections.revisions(connection)
        for pk in set(candidates) - kept.keys():
            self.forget(pk)
            try:
                # Whoever is still pushing it must have ended first.
                with turn(self._database, "milvus", str(pk), timeout_seconds=self._server.timeout):
                    erase(self._server, self._installation, pk)
            except TurnTakenError as error:
                raise TemporarilyUnavailableError from error
            log.info("a deleted collection was erased in Milvus", collection=pk)

    def _rows(self) -> Iterator[CollectionRow]:
        after: int | None = 0
        while after is not None:
            with self._database.read() as connection:
                rows = collections.page(connection, after, _PAGE)
            yield from rows
            after = rows[-1].pk if len(rows) == _PAGE else None

    def _push(self, row: CollectionRow) -> None:
        try:
            self.follow(self.get(row), row.revision)
        except ResourceNotFoundError:
            pass
        except SetupError as error:  # its model contract is gone
            log.warning("a collection cannot be loaded", collection=row.collection_id, error=str(error))
        except TemporarilyUnavailableError:
            if self._stopped.is_set():
                raise

    def clear(self) -> None:
        """Push what was committed, as far as Milvus takes it at once, and let go of it."""
        self._closing = True
        self._news.set()
        if self._pusher is not None:
            self._pusher.join()
        self._push_all()
        if self._deleted:
            self.sweep()
        self._stopped.set()
        super().clear()
        self._server.close()


def installation(database: Database) -> str:
    """Return what tells this database's vectors from those of other databases; it is drawn when first asked for."""
    with database.begin() as connection:
        locks.hold(connection, meta.MILVUS_INSTALLATION)
        name = meta.get(connection, meta.MILVUS_INSTALLATION)
        if name is None:
            name = secrets.token_hex(4).encode()
            meta.put(connection, meta.MILVUS_INSTALLATION, name)
    return name.decode()


def open_galleries(database: Database, settings: Settings) -> Galleries:
    """Return the galleries that the settings ask for: in Milvus, or in this process.

    Raises:
        SetupError: ``milvus_url`` is set, and the package pymilvus is not installed.
    """
    return SharedGalleries(database, settings) if settings.milvus_url else Galleries(database, settings)
