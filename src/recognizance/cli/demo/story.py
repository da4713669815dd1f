"""What the demonstration asks of the server, by boto3 alone, as any client of Rekognition would."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recognizance.cli import draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

COLLECTION = "demo"
INDEXED = {"biden": "Joe_Biden", "obama": "Barack_Obama"}
SEARCHED = ("obama2", "obama3", "obama_partial_face", "obama_partial_face2")
CROPPED = {"obama_partial_face", "obama_partial_face2"}
"""Halves of the portrait that is stored."""

GROUP = ("biden", "obama2", "obama3")
COMPARED = ("obama", ("obama3", "biden"))

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the server.

    Attributes:
        operation: What was called.
        picture: The picture that was sent, by name; for a comparison both.
        name: Who was stored or found, or ``nobody``.
        similarity: 0 to 100; None where nothing was compared.
        milliseconds: How long it took, picture sent and answer read.
        face: The face in the picture, with its BoundingBox.
    """

    operation: str
    picture: str
    name: str
    similarity: float | None
    milliseconds: float
    face: dict[str, Any] = field(repr=False)


class Story:
    """Plays the demonstration.

    Args:
        client: boto3's client of the server.
        pictures: The pictures as files' bytes, by name.
    """

    def __init__(self, client: Any, pictures: Mapping[str, bytes]) -> None:  # noqa: ANN401 - boto3's classes are made
        self._client, self._pictures = client, pictures
        self.answers: list[Answer] = []

    def index(self) -> list[Answer]:
        """Make a collection and store one portrait of each person."""
        self._client.create_collection(CollectionId=COLLECTION)
        return [self._index(picture, name) for picture, name in INDEXED.items()]

    def _index(self, picture: str, name: str) -> Answer:
        answer, spent = self._call(
            "index_faces",
            CollectionId=COLLECTION,
            Image={"Bytes": self._pictures[picture]},
            ExternalImageId=name,
            MaxFaces=1,
        )
        record = answer["FaceRecords"][0]
        return self._note(
            Answer("IndexFaces", picture, record["Face"]["ExternalImageId"], None, spent, record["FaceDetail"])
        )

    def search(self) -> list[Answer]:
        """Search the collection with other photographs."""
        return [self._search(picture, self._pictures[picture]) for picture in SEARCHED]

    def _search(self, picture: str, data: bytes, face: dict[str, Any] | None = None) -> Answer:
        answer, spent = self._call(
            "search_faces_by_image", CollectionId=COLLECTION, Image={"Bytes": data}, FaceMatchThreshold=80
        )
        best = answer["FaceMatches"][0] if answer["FaceMatches"] else None
        name = best["Face"]["ExternalImageId"] if best else NOBODY
        similarity = best["Similarity"] if best else None
        found = face or {"BoundingBox": answer["SearchedFaceBoundingBox"]}
        return self._note(Answer("SearchFacesByImage", picture, name, similarity, spent, found))

    def search_group(self, picture: str, image: Image.Image) -> list[Answer]:
        """Find the faces of a picture of many, and search for each of them: Rekognition looks for the largest only."""
        answer, spent = self._call("detect_faces", Image={"Bytes": draw.jpeg(image)})
        faces = answer["FaceDetails"]
        self._note(Answer("DetectFaces", picture, f"{len(faces)} faces", None, spent, {}))
        return [self._search(f"{picture}, face {n}", _cut_out(image, face), face) for n, face in enumerate(faces, 1)]

    def compare(self) -> list[Answer]:
        """Compare one person's portrait with another photograph of the same person, and with another person's."""
        source, targets = COMPARED
        answers = []
        for target in targets:
            answer, spent = self._call(
                "compare_faces",
                SourceImage={"Bytes": self._pictures[source]},
                TargetImage={"Bytes": self._pictures[target]},
                SimilarityThreshold=0,
            )
            best = answer["FaceMatches"][0]
            verdict = "same person" if best["Similarity"] >= 80 else "different people"
            pictures = f"{source} and {target}"
            answers.append(
                self._note(Answer("CompareFaces", pictures, verdict, best["Similarity"], spent, best["Face"]))
            )
        return answers

    def _call(self, operation: str, **request: Any) -> tuple[dict[str, Any], float]:  # noqa: ANN401 - any request
        started = time.perf_counter()
        answer: dict[str, Any] = getattr(self._client, operation)(**request)
        return answer, (time.perf_counter() - started) * 1000

    def _note(self, answer: Answer) -> Answer:
        self.answers.append(answer)
        return answer


def _cut_out(image: Image.Image, face: dict[str, Any]) -> bytes:
    """Return a face with as much around it as a detector likes to see, as a JPEG file."""
    box = face["BoundingBox"]
    left, top = box["Left"] * image.width, box["Top"] * image.height
    width, height = box["Width"] * image.width, box["Height"] * image.height
    area = (left - width / 2, top - height / 2, left + 1.5 * width, top + 1.5 * height)
    inside = (max(0, area[0]), max(0, area[1]), min(image.width, area[2]), min(image.height, area[3]))
    return draw.jpeg(image.crop((round(inside[0]), round(inside[1]), round(inside[2]), round(inside[3]))))
