"""A process of its own that works on a bulk job; its analyser makes faces up, and takes its time.

Started by the tests beside it, who may kill it at any moment.

What a picture's bytes say happens to it: ``fault`` cannot be analysed, ``poison`` ends the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recognizance.cli.indexing.jobs import Bucket, Plan, default_name, open_job
from recognizance.cli.indexing.share import Share
from recognizance.collections.model import PictureFaces
from recognizance.collections.service import CollectionService
from recognizance.core.settings import Settings
from recognizance.operations.local import Analysed
from recognizance.storage.database import Database
from recognizance.storage.objects import open_object_store
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import load_contract
from recognizance.vision.faces import Faces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

CONTRACT = load_contract("core")
HEAD = b"\xff\xd8\xff"
COLLECTION = "c"
BUCKET = Bucket("photos")


def made_up_face(digest: bytes) -> Faces:
    """The one face that a picture with this digest always has."""
    embedding = np.random.default_rng(list(digest)).normal(size=(1, CONTRACT.dimensions)).astype(np.float32)
    zeros = np.zeros(1, np.float32)
    return Faces(
        image_size=(100, 100),
        boxes=np.array([[10, 10, 50, 50]], np.float32),
        scores=zeros + np.float32(0.9),
        landmarks=np.zeros((1, 5, 2), np.float32),
        pose=np.zeros((1, 3), np.float32),
        brightness=zeros,
        sharpness=zeros,
        quality=zeros,
        embeddings=embedding / np.linalg.norm(embedding),
        impostor_levels=zeros,
    )


class MadeUp:
    """An indexer that makes its faces up and stores them really."""

    def __init__(self, service: CollectionService, seconds: float = 0.0) -> None:
        self.service = service
        self.analysed: list[str] = []
        self._seconds = seconds

    def analyse(self, data: bytes, external_image_id: str | None) -> Analysed:
        self.analysed.append(external_image_id or "")
        time.sleep(self._seconds)
        if data.endswith(b"poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        if data.endswith(b"fault"):
            raise ZeroDivisionError
        digest = hashlib.sha256(data).digest()
        return Analysed(PictureFaces(made_up_face(digest), digest, external_image_id))

    def renamed(self, face_ids: Sequence[str], digest: bytes, external_image_id: str | None) -> Analysed | None:
        raise NotImplementedError

    def store(
        self, pictures: Sequence[Analysed], also: Callable[[Connection, int], None] | None = None
    ) -> tuple[list[list[str]], int]:
        faces = [one.picture for one in pictures]
        done = self.service.index_pictures(COLLECTION, faces, contract_version=CONTRACT.version, also=also)
        return [[face.face_id for face in stored] for stored in done.pictures], done.added


class Machine:
    """What one machine of several has open: the same database and bucket as the others."""

    def __init__(self, data: Path, database_url: str, buckets: Path, **arguments: Any) -> None:
        settings = Settings(
            data=data, models=data / "models", contract="core", database_url=database_url, buckets_folder=buckets
        )
        self.database = Database.open(database_url)
        self.service = CollectionService(self.database, Analysers(settings), settings)
        self.indexer = MadeUp(self.service, arguments.pop("pause", 0.0))
        self.store = open_object_store(settings)
        self.arguments = {"workers": 2, "readers": 2, "seconds": 60.0, "chunk": 4} | arguments

    def share(self, *, again: bool = False, **how: Any) -> Share:
        """Join the job."""
        plan = Plan(COLLECTION, default_name(BUCKET), BUCKET, "file", how)
        job = open_job(self.database, plan, again=again)
        return Share(self.database, self.store, self.indexer, plan, job, **self.arguments)

    def close(self) -> None:
        self.service.close()
        self.database.close()


def main() -> None:
    """Wait for a line; work on the job until it is done; say what this process stored and analysed."""
    data, database_url, buckets, arguments = sys.argv[1:]
    machine = Machine(Path(data), database_url, Path(buckets), **json.loads(arguments))
    print("ready", flush=True)
    sys.stdin.readline()
    share = machine.share()
    signal.signal(signal.SIGTERM, lambda *_: share.stop())
    share()
    print(json.dumps([share.pictures, machine.indexer.analysed]), flush=True)
    machine.close()


if __name__ == "__main__":
    main()
