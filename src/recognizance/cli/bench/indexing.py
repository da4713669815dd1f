"""Indexing into a real data folder: one large picture by IndexFaces, and a folder as ``recognizance index`` does."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from recognizance.cli.bench.timing import Rate, for_seconds, milliseconds
from recognizance.cli.indexing.journal import Journal
from recognizance.cli.indexing.run import Run
from recognizance.collections.model import PictureFaces
from recognizance.operations.local import BulkIndexer
from recognizance.vision.faces import Faces, FloatArray
from recognizance.vision.image import decode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from recognizance.cli._session import Session
    from recognizance.vision.analyser import FaceAnalyser

_LEAST_TURNS = 3
_FACES_AT_ONCE = 10_000


def detect_ms(analyser: FaceAnalyser, data: bytes, seconds: float) -> float:
    """Return how long finding a picture's faces takes once it is decoded: the median, in milliseconds."""
    picture = decode(data)
    return float(np.median([milliseconds(analyser.detect, picture) for _ in for_seconds(seconds, _LEAST_TURNS)]))


def index_ms(session: Session, data: bytes, seconds: float) -> tuple[float, int]:
    """Index a picture by IndexFaces, decoding to commit, again and again under new names.

    Returns:
        The median in milliseconds, and how many faces were stored each time.
    """
    session.call("CreateCollection", CollectionId="one-picture")
    stored = 0

    def index(turn: int) -> None:
        nonlocal stored
        answer = session.call(
            "IndexFaces",
            CollectionId="one-picture",
            Image={"Bytes": data},
            ExternalImageId=f"turn-{turn}",  # under the same name the faces would be there already
            QualityFilter="NONE",
        )
        stored = len(answer["FaceRecords"])

    measured = [milliseconds(index, turn) for turn in for_seconds(seconds, _LEAST_TURNS)]
    return float(np.median(measured)), stored


def bulk_rate(session: Session, folder: Path, workers: int, seconds: float) -> Rate:
    """Index a folder of pictures as ``recognizance index`` does, each time into a new collection.

    Args:
        session: The data folder.
        folder: The pictures.
        workers: How many are worked on at once.
        seconds: For how long to repeat it.

    Returns:
        Files a second, from the first look into the folder to the last commit.
    """
    files = sum(1 for _ in folder.iterdir())
    measured = []
    for turn in for_seconds(seconds, _LEAST_TURNS):
        name = f"bulk-{turn}"
        session.call("CreateCollection", CollectionId=name)
        arn = session.call("DescribeCollection", CollectionId=name)["CollectionARN"]
        with Journal(session.services.settings.data, arn, "now") as journal:
            indexer = BulkIndexer(session.context(), name)
            run = Run(indexer, journal, name=lambda path: path.name, workers=workers)
            started = perf_counter()
            run(folder)
            measured.append(files / (perf_counter() - started))
    return Rate.of(measured)


def write_pictures(folder: Path, pictures: Sequence[bytes]) -> list[Path]:
    """Write pictures as files 0000.jpg and so on into a new folder; return their paths."""
    folder.mkdir()
    paths = [folder / f"{number:04}.jpg" for number in range(len(pictures))]
    for path, data in zip(paths, pictures, strict=True):
        path.write_bytes(data)
    return paths


def fill_collection(session: Session, name: str, count: int) -> None:
    """Make a collection of made-up faces whose embeddings are random directions; nobody resembles them."""
    session.call("CreateCollection", CollectionId=name)
    contract = session.services.collections.contract(name)
    random = np.random.default_rng(1)
    for start in range(0, count, _FACES_AT_ONCE):
        size = min(_FACES_AT_ONCE, count - start)
        vectors = random.standard_normal((size, contract.dimensions), np.float32)
        picture = PictureFaces(_faces(vectors), picture_digest=start.to_bytes(32, "big"))
        session.services.collections.index_pictures(name, [picture], contract_version=contract.version)


def _faces(vectors: FloatArray) -> Faces:
    n = len(vectors)
    # Each at a place of its own in a picture of 1000 x 1000: faces at one place of one picture are one face.
    corners = np.stack([np.arange(n) % 1000, np.arange(n) // 1000], axis=1)
    zeros = np.zeros(n, np.float32)
    return Faces(
        image_size=(1000, 1000),
        boxes=np.concatenate([corners, corners + 50], axis=1).astype(np.float32),
        scores=np.ones(n, np.float32),
        landmarks=np.zeros((n, 5, 2), np.float32),
        pose=np.zeros((n, 3), np.float32),
        brightness=zeros,
        sharpness=zeros,
        quality=zeros,
        embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        impostor_levels=np.ones(n, np.float32),  # the highest that there is: every score is below 0
    )
