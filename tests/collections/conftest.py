"""A collection service on a database of its own, and faces whose similarities are known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from recognizance.collections.model import Probes
from recognizance.collections.service import CollectionService
from recognizance.core.settings import Settings
from recognizance.storage.database import Database
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import Contract, load_contract
from recognizance.vision.faces import Faces, FloatArray


class People:
    """Makes embedded faces under one contract: those of one person resemble each other as much as asked."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.version = contract.version
        self._rng = np.random.default_rng(7)
        self._pictures = 0

    def strangers(self, count: int) -> FloatArray:
        """Embeddings of different people, at right angles to one another."""
        axes = np.linalg.qr(self._rng.normal(size=(self.contract.dimensions, count)))[0].T
        return axes.astype(np.float32)

    def like(self, embedding: FloatArray, cosine: float) -> FloatArray:
        """An embedding at this cosine to another one."""
        aside = self._rng.normal(size=embedding.shape)
        aside -= (aside @ embedding) * embedding
        aside /= np.linalg.norm(aside)
        made: FloatArray = (cosine * embedding + np.sqrt(1 - cosine**2) * aside).astype(np.float32)
        return made

    def cosine(self, similarity: float, level: float = 0.0) -> float:
        """The cosine at which two faces of this impostor level have this similarity."""
        return self.contract.score(similarity) + level

    def faces(self, embeddings: FloatArray, levels: FloatArray | float = 0.0) -> Faces:
        """One picture with a face for each embedding, side by side."""
        n = len(embeddings)
        zeros = np.zeros(n, np.float32)
        left = np.linspace(0, 900, n, dtype=np.float32)
        boxes = np.stack([left, zeros + 10, left + 5, zeros + 60], axis=1)
        return Faces(
            image_size=(1000, 500),
            boxes=boxes,
            scores=zeros + np.float32(0.75),
            landmarks=np.zeros((n, 5, 2), np.float32),
            pose=np.zeros((n, 3), np.float32),
            brightness=zeros,
            sharpness=zeros,
            quality=zeros,
            embeddings=embeddings,
            impostor_levels=np.broadcast_to(np.asarray(levels, np.float32), (n,)).copy(),
        )

    def probes(self, embeddings: FloatArray, levels: FloatArray | float = 0.0) -> Probes:
        return Probes.of(self.faces(embeddings, levels), self.version)

    def index(
        self, service: CollectionService, collection_id: str, embeddings: FloatArray, levels: FloatArray | float = 0.0
    ) -> list[str]:
        """Index embeddings, each a picture of its own, and return the face ids."""
        ids = []
        levels = np.broadcast_to(np.asarray(levels, np.float32), (len(embeddings),))
        for embedding, level in zip(embeddings, levels, strict=True):
            self._pictures += 1
            (face,) = service.index_faces(
                collection_id,
                self.faces(embedding[None], level),
                picture_digest=self._pictures.to_bytes(32, "big"),
                contract_version=self.version,
            )
            ids.append(face.face_id)
        return ids


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        data=tmp_path / "data",
        database_url=database_url,
        models=tmp_path / "models",
        contract="core",
        region="eu-central-1",
    )


@pytest.fixture
def open_service(settings: Settings) -> Iterator[Callable[[], CollectionService]]:
    """Open one more service on the same data folder, as another process would."""
    opened: list[tuple[CollectionService, Database]] = []

    def open_one() -> CollectionService:
        database = Database.open(settings.resolved_database_url)
        service = CollectionService(database, Analysers(settings), settings)
        opened.append((service, database))
        return service

    yield open_one
    for service, database in opened:
        service.close()
        database.close()


@pytest.fixture
def service(open_service: Callable[[], CollectionService]) -> CollectionService:
    """A service on an empty database."""
    return open_service()


@pytest.fixture
def people() -> People:
    return People(load_contract("core"))
