"""A process of its own on a database: does what each line of its input asks, and answers a line of JSON.

Started by the tests beside it, who may kill it at any moment.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from structlog.testing import LogCapture

from recognizance.collections import upkeep
from recognizance.collections.index import ScanIndex
from recognizance.collections.index import cache as index_cache
from recognizance.collections.index.scoring import exact_scores
from recognizance.collections.model import Probes
from recognizance.collections.service import CollectionService
from recognizance.collections.vectors import from_rows, probes
from recognizance.core.errors import RecognizanceError
from recognizance.core.settings import Settings
from recognizance.governance.keys import KeyStore
from recognizance.storage import schema
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

    def __init__(self, data: Path, database_url: str, *, exact_faces: int = 50_000) -> None:
        settings = Settings(
            data=data, database_url=database_url, models=data / "models", contract="core", exact_faces=exact_faces
        )
        self.log = LogCapture()
        self.settings = settings
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

    # Large collections

    def make(self) -> None:
        """Make the collection."""
        self.service.create_collection("c")

    def reopen(self) -> None:
        """Begin again, as after a restart."""
        self.service.close()
        self.service = CollectionService(self.database, Analysers(self.settings), self.settings)

    def sound(self) -> list[str]:
        """Return what is wrong with the database's rows."""
        faces, users = schema.faces.c, schema.users.c
        with self.database.read() as connection:
            collection = connection.execute(sa.select(schema.collections)).one()
            revisions = list(connection.scalars(sa.select(schema.face_log.c.revision).order_by("revision")))
            checks = {
                "faces": collection.face_count == connection.scalar(sa.select(sa.func.count(faces.pk))),
                "users": collection.user_count == connection.scalar(sa.select(sa.func.count(users.pk))),
                "log": revisions == list(range(1, collection.revision + 1)),
                "file": connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok",
            }
        return [name for name, well in checks.items() if not well]

    def grow(self, first: int, pictures: int = 1, faces: int = 10) -> list[str]:
        """Index pictures of consecutive numbers; return the ids of the faces."""
        ids: list[str] = []
        for start in range(first, first + pictures * faces, faces):
            ids += self.index(*range(start, start + faces))
        return ids

    def user(self, name: str, *face_ids: str) -> None:
        """Make a user of these faces, or give those to the user that there is."""
        if not self.service.list_faces("c", face_ids=list(face_ids)).items[0].user_id:
            self.service.create_user("c", name)
        self.service.associate_faces("c", name, face_ids, threshold=0)

    def faces(self) -> list[str]:
        """Return the ids of all faces, in the order they were stored."""
        return [face.face_id for face in self.service.list_faces("c", limit=10**9).items]

    def check(self) -> list[str]:
        """Compare what searches answer with what follows from the database's rows, one by one."""
        asked = Probes.of(faces_of([10**8, 10**8 + 1, 10**8 + 2]), CONTRACT.version)
        wrong: list[str] = []
        for kind, id_of, search in (
            ("faces", schema.faces.c.face_id, self.service.search_faces),
            ("users", schema.users.c.user_id, self.service.search_users),
        ):
            found: Any = search("c", asked, threshold=0, limit=8)
            got = [[one.face.face_id if kind == "faces" else one.user.user_id for one in matches] for matches in found]
            vector, key = id_of.table.c.vector, id_of.table.c.pk
            with self.database.read() as connection:
                rows = connection.execute(sa.select(id_of, vector).where(vector.is_not(None)).order_by(key)).all()
            for number, probe in enumerate(probes(asked.embeddings)):
                best: list[str] = []
                if rows:
                    scores = exact_scores(from_rows([row[1] for row in rows]).astype(np.float32), probe)
                    best = [rows[place][0] for place in np.argsort(-scores, kind="stable")[:8]]
                if got[number] != best:
                    wrong.append(f"{kind}: {got[number]} instead of {best}")
        return wrong

    def state(self) -> dict[str, Any]:
        """Return how the index of faces stands, and what is in its files."""
        ((_, gallery),) = self.service._galleries.loaded().items()
        assert isinstance(gallery.faces, ScanIndex)
        names = [one.name for one in gallery.faces._segments]
        files = {path.name for path in gallery.faces._cache._folder.glob("*.segment")}
        return {
            "segments": len(names),
            "in memory": names.count(None),
            "left over": len(files - set(names)),
            "tail": len(gallery.faces._tail),
            "owner": gallery.faces._cache._lock is not None,
        }

    def until(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Wait for a state, for a minute at most; return the one there is then."""
        deadline = time.monotonic() + 60
        while not wanted.items() <= (state := self.state()).items() and time.monotonic() < deadline:
            time.sleep(0.02)
        return state

    def said(self) -> list[str]:
        """Return the warnings that were logged since this was asked last."""
        said = [f"{one['event']} ({one.get('reason', one.get('error', ''))})" for one in self.log.entries]
        levels = [one["log_level"] for one in self.log.entries]
        self.log.entries.clear()
        return [text for text, level in zip(said, levels, strict=True) if level in {"warning", "error"}]

    def attempt(self, name: str, *arguments: Any) -> str:
        """Do something that should fail; return the error."""
        try:
            getattr(self, name)(*arguments)
        except (RecognizanceError, sa.exc.SQLAlchemyError) as error:
            return f"{type(error).__name__}: {error}"
        return "done"

    def rebuild(self) -> None:
        """Build the index anew."""
        self.service.rebuild("c")

    def compact(self) -> None:
        """Write the index anew."""
        self.service.compact("c")

    def churn(self, first: int) -> None:
        """Write as :meth:`write` does, change users and search at the same time, for ever."""
        ids = self.index(*range(first + 5_000_000, first + 5_000_020))
        self.user(f"v{first}", ids[0])

        def change_users() -> None:
            for turn in count():
                one = ids[1 + turn % 19]
                self.service.associate_faces("c", f"v{first}", [one], threshold=0)
                self.service.disassociate_faces("c", f"v{first}", [one])

        def search() -> None:
            for turn in count():
                number = turn % 20
                if self.search(first + 5_000_000 + number) != [ids[number]]:
                    answer({"wrong": number})

        for action in (change_users, search):
            threading.Thread(target=action, daemon=True).start()
        self.write(first)

    def die(self, step: str, times: int) -> None:
        """End this process as if by kill -9, when it comes to a step of writing the cache for the ``times``-th time."""
        left = count(1)

        def before(original: Callable[..., Any]) -> Callable[..., Any]:
            def replaced(*arguments: Any, **options: Any) -> Any:
                if next(left) == times:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **options)

            return replaced

        owner, name = {
            "before a segment is on the disk": (os, "fsync"),
            "before the manifest is written": (index_cache.Cache, "_replace_manifest"),
            "before the manifest is renamed": (Path, "replace"),
            "after the manifest was renamed": (index_cache, "sync_folder"),
            "after an old file was deleted": (index_cache, "_remove"),
        }[step]
        setattr(owner, name, before(getattr(owner, name)))

    # Full disks

    def fill_disk(self, folder: str, leave: int = 0) -> None:
        """Fill the disk that a folder is on, but for some bytes."""
        with Path(folder, "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                pass
            file.truncate(max(0, file.tell() - leave))

    def free_disk(self, folder: str) -> None:
        """Make room again."""
        Path(folder, "filler").unlink()


_ANSWERING = threading.Lock()


def answer(value: object) -> None:
    """Print a line of JSON at once."""
    with _ANSWERING:
        print(json.dumps(value), flush=True)


def make_few() -> None:
    """Have segments of few faces, written and purged all the time."""
    options: dict[str, Any] = dict(ScanIndex.__init__.__kwdefaults__ or {})
    ScanIndex.__init__.__kwdefaults__ = options | {"tail_up_to": 16, "capacity": 64, "purge_after": 0.0}
    upkeep._WAIT_SECONDS = 0.02
    index_cache.RETRY_SECONDS = 0.2


def run(data: str, database_url: str, *options: str) -> None:
    """Answer each line of the input."""
    if "few" in options:
        make_few()
    worker = Worker(Path(data), database_url, exact_faces=40 if "few" in options else 50_000)
    structlog.configure(processors=[worker.log])
    answer("ready")
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answer(getattr(worker, name)(*arguments))


def breed(handle: int) -> None:
    """Fork a process for each request that comes by a socket: to import everything takes most of a process's start.

    A request is a list of arguments, with the handles of the new process's input and output; the answer is its number.
    Or it is such a number, and the answer is how that process has ended, null while it has not.
    """
    with socket.socket(fileno=handle) as requests:
        while True:
            data, handles, _, _ = socket.recv_fds(requests, 1 << 16, 2)
            if not data:
                return
            request = json.loads(data)
            if isinstance(request, int):
                pid, status = os.waitpid(request, os.WNOHANG)
                requests.send(json.dumps(os.waitstatus_to_exitcode(status) if pid else None).encode())
                continue
            pid = os.fork()
            if pid == 0:
                requests.close()
                _be_born(request, handles)
            for one in handles:
                os.close(one)
            requests.send(json.dumps(pid).encode())


def _be_born(arguments: list[str], handles: list[int]) -> None:
    status = 1
    try:
        for number, one in enumerate(handles):
            os.dup2(one, number)
            os.close(one)
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        run(*arguments)
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1] == "breed":
        breed(int(sys.argv[2]))
    else:
        run(*sys.argv[1:])
