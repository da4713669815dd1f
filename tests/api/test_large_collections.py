"""A collection that is searched by compact codes answers as one that is searched face by face."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests

from recognizance.collections.model import PictureFaces
from recognizance.core.settings import Settings
from recognizance.vision.faces import Faces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.api.conftest import Running

pytestmark = pytest.mark.sqlite  # its subject is the index

COUNT = 600
GROUP = 6  # faces of one person


def store_people(server: Running, name: str) -> list[str]:
    """Store faces without pictures, six of each person, and return their ids."""
    collections = server.services.collections
    contract = collections.contract(name)
    rng = np.random.default_rng(5)
    people = np.repeat(rng.normal(size=(COUNT // GROUP, contract.dimensions)), GROUP, axis=0)
    embeddings = people + 0.4 * rng.normal(size=people.shape)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    corner = np.zeros(COUNT, np.float32)
    boxes = np.stack([corner, corner, corner + 50, corner + 50], 1)
    plain = Faces.detected((100, 100), boxes, corner + 0.9, np.zeros((COUNT, 5, 2), np.float32))
    levels = np.zeros(COUNT, np.float32)
    faces = replace(plain, embeddings=embeddings.astype(np.float32), impostor_levels=levels)
    pictures = [PictureFaces(faces[[row]], row.to_bytes(32, "big"), None) for row in range(COUNT)]
    stored = collections.index_pictures(name, pictures, contract_version=contract.version)
    return [faces[0].face_id for faces in stored.pictures]


def metric(server: Running, name: str) -> float:
    page = requests.get(f"{server.endpoint}/metrics", timeout=60)
    found = re.search(rf"^{re.escape(name)} (\S+)$", page.text, re.MULTILINE)
    assert found
    return float(found[1])


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_large_collection_answers_as_a_small_one(serve: Callable[[Settings], Running], tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", contract="core", exact_faces=100, checked_searches=1.0)
    server = serve(settings)
    api = server.api()
    api.call("CreateCollection", CollectionId="c")
    ids = store_people(server, "c")

    def search(face_id: str) -> list[tuple[str, float]]:
        found = api.call("SearchFaces", CollectionId="c", FaceId=face_id, MaxFaces=5)
        return [(match["Face"]["FaceId"], match["Similarity"]) for match in found["FaceMatches"]]

    small = [search(face_id) for face_id in ids[::50]]
    assert {len(found) for found in small} == {5}
    wait_for(lambda: server.services.collections.index_state("c").cached_bytes > 0)
    assert [search(face_id) for face_id in ids[::50]] == small

    wait_for(lambda: metric(server, "recognizance_checked_searches_total") >= len(small))
    assert metric(server, 'recognizance_checked_matches_total{outcome="missed"}') == 0
    assert metric(server, 'recognizance_checked_matches_total{outcome="found"}') > 0

    api.call("DeleteFaces", CollectionId="c", FaceIds=[small[0][0][0]])
    assert search(ids[0])[:4] == small[0][1:]
