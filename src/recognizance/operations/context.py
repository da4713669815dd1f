"""What an operation is given besides its request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from recognizance.collections.service import CollectionService
from recognizance.governance.keys import KeyStore
from recognizance.storage.database import Database
from recognizance.storage.objects import ObjectStore, open_object_store
from recognizance.vision.analyser import Analysers

if TYPE_CHECKING:
    from recognizance.core.settings import Settings
    from recognizance.governance.principal import Principal


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a running server has open, shared by all requests and safe to use from many threads.

    Attributes:
        settings: What the server was started with.
        database: Where everything is kept.
        collections: Collections, faces and users.
        analysers: The face analyser of each model contract.
        objects: Where pictures named by bucket and key are read.
        keys: The access keys.
        token_secret: What pagination tokens are authenticated with.
    """

    settings: Settings
    database: Database
    collections: CollectionService
    analysers: Analysers
    objects: ObjectStore
    keys: KeyStore
    token_secret: bytes = field(repr=False)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the database (bringing its schema up to date) and everything that stands on it.

        Models load when the first request needs them.

        Raises:
            SetupError: The data folder, the database or the object store cannot be used as the settings say.
        """
        objects = open_object_store(settings)
        database = Database.open(settings.resolved_database_url)
        try:
            analysers = Analysers(settings)
            keys = KeyStore(database, settings.data, account_id=settings.account_id)
            return cls(
                settings=settings,
                database=database,
                collections=CollectionService(database, analysers, settings),
                analysers=analysers,
                objects=objects,
                keys=keys,
                token_secret=keys.derive("pagination tokens"),
            )
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close everything; no request may be running."""
        self.collections.close()
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
