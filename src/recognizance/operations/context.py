"""What an operation is given besides its request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from recognizance.collections.service import CollectionService
from recognizance.governance.keys import KeyStore
from recognizance.storage.database import Database
from recognizance.storage.objects import ObjectStore, open_object_store
from recognizance.vision.analyser import Analysers

if TYPE_CHECKING:
    from recognizance.core.settings import Settings
    from recognizance.governance.keys import Principal


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a running server has open, shared by all requests and safe to use from many threads."""

    settings: Settings
    database: Database
    collections: CollectionService
    analysers: Analysers
    objects: ObjectStore
    keys: KeyStore

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the database (bringing its schema up to date) and everything that stands on it.

        Models load when the first request needs them.

        Raises:
            SetupError: The data folder or the database cannot be used.
        """
        database = Database.open(settings.resolved_database_url)
        try:
            analysers = Analysers(settings)
            return cls(
                settings=settings,
                database=database,
                collections=CollectionService(database, analysers, settings),
                analysers=analysers,
                objects=open_object_store(settings),
                keys=KeyStore(database, settings.data),
            )
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close everything; no request may be running."""
        self.analysers.close()
        self.database.close()


@dataclass(frozen=True, slots=True)
class Context:
    """One request's surroundings.

    Attributes:
        principal: Who signed the request.
        request_id: The id that the answer and the log carry.
        services: What the server has open.
    """

    principal: Principal
    request_id: str
    services: Services
