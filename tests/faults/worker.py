"""A process of its own on a database: does what each line of its input asks, and answers a line of JSON.

Started by the tests beside it, who may kill it at any moment.
"""

import json
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np

from recognizance.collections.model import Probes
from recognizance.collections.service import CollectionService
from recognizance.core.settings import Settings
from recognizance.governance.keys import KeyStore
from recognizance.storage.database import Database
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import load_contract
from recognizance.vision.faces import Faces

CONTRACT = load_contract("core")


def faces_of(numbers: Sequence[int]) -> Faces:
    """The faces that these numbers always stand for, as if they were in one picture."""
    n = len(numbers)
    zeros = np.zeros(n, np.float32)
    embeddings = np.stack([np.random.default_rng(number).normal(size=CONTRACT.dimensions) for number in numbers])
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    left = np.arange(n, dtype=np.float32) * 50
    return Faces(
        image_size=(1000, 100),
        boxes=np.stack([left, zeros, left + 40, zeros + 40], axis=1),
        scores=zeros + np.float32(0.9),
        landmarks=np.zeros((n, 5, 2), np.float32),
        pose=np.zeros((n, 3), np.float32),
        brightness=zeros,
        sharpness=zeros,
        quality=zeros,
        embeddings=embeddings.astype(np.float32),
        impostor_levels=zeros,
    )


class Worker:
    """A collection service of this process."""

    def __init__(self, data: Path, database_url: str) -> None:
        settings = Settings(data=data, database_url=database_url, models=data / "models", contract="core")
        self.database = Database.open(database_url)
        self.keys = KeyStore(self.database, data, account_id=settings.account_id)
        self.service = CollectionService(self.database, Analysers(settings), settings)

    def secret(self) -> str:
        """Return what this process derives from the key file."""
        return self.keys.derive("tests").hex()

    def index(self, *numbers: int) -> list[str]:
        """Index the faces of one picture; return their ids."""
        stored = self.service.index_faces(
            "c",
            faces_of(numbers),
            picture_digest=numbers[0].to_bytes(32, "big"),
            contract_version=CONTRACT.version,
        )
        return [face.face_id for face in stored]

    def search(self, *numbers: int) -> list[str | None]:
        """Return the id of the face most similar to each of these."""
        probes = Probes.of(faces_of(numbers), CONTRACT.version)
        found = self.service.search_faces("c", probes, threshold=100, limit=1)
        return [matches[0].face.face_id if matches else None for matches in found]

    def delete(self, *face_ids: str) -> list[str]:
        """Delete faces; return the ids deleted."""
        return list(self.service.delete_faces("c", face_ids).deleted)

    def write(self, first: int) -> None:
        """Index, group and delete faces for ever, and say what was done once it is done."""
        for start in count(first, 10):
            numbers = list(range(start, start + 1 + start // 10 % 4))
            ids = self.index(*numbers)
            answer({"indexed": dict(zip(map(str, numbers), ids, strict=True))})
            if start // 10 % 3 == 0:
                user = f"u{start}"
                self.service.create_user("c", user)
                self.service.associate_faces("c", user, ids)
                answer({"user": user, "faces": ids})
            elif start // 10 % 3 == 1:
                answer({"deleted": self.delete(ids[0])})


def answer(value: object) -> None:
    """Print a line of JSON at once."""
    print(json.dumps(value), flush=True)


def main() -> None:
    """Answer each line of the input."""
    worker = Worker(Path(sys.argv[1]), sys.argv[2])
    answer("ready")
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer(getattr(worker, name)(*arguments))


if __name__ == "__main__":
    main()
