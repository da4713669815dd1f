"""The whole of a contract on real photographs: what is found, how alike it is, and that threads do not change it."""

import hashlib
import threading
from dataclasses import replace

import numpy as np
import pytest

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.analyser import Analysers, FaceAnalyser
from recognizance.vision.contracts import NAMES, contract_of_version, load_contract
from recognizance.vision.detect import find_faces
from recognizance.vision.detectors import Detections
from recognizance.vision.faces import Faces, FloatArray
from recognizance.vision.image import Picture, decode

Photos = dict[str, bytes]


@pytest.fixture(scope="module", params=NAMES)
def analyser(request: pytest.FixtureRequest, contracts: list[str]) -> FaceAnalyser:
    if request.param not in contracts:
        pytest.skip("the models of this contract are not installed")
    return Analysers(Settings()).get(request.param)


def seen(analyser: FaceAnalyser, data: bytes) -> tuple[Picture, Faces]:
    picture = decode(data)
    return picture, analyser.detect(picture)


def score(analyser: FaceAnalyser, one: bytes, other: bytes) -> float:
    a, b = (analyser.embed(picture, faces[:1]) for picture, faces in (seen(analyser, data) for data in (one, other)))
    assert a.embeddings is not None
    assert b.embeddings is not None
    assert a.impostor_levels is not None
    assert b.impostor_levels is not None
    return float(a.embeddings[0] @ b.embeddings[0] - (a.impostor_levels[0] + b.impostor_levels[0]) / 2)


@pytest.mark.parametrize("name", ["obama", "obama2", "obama3", "biden"])
def test_the_face_of_a_portrait_is_found_with_its_landmarks_in_place(
    analyser: FaceAnalyser, photos: Photos, name: str
) -> None:
    _, faces = seen(analyser, photos[name])
    assert len(faces) >= 1
    face = faces[:1]
    (x1, y1, x2, y2), points = face.boxes[0], face.landmarks[0]
    assert ((points > [x1, y1]) & (points < [x2, y2])).all()
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
    assert np.abs(face.pose).max() < 35
    assert face.quality[0] > 75
    assert face.sharpness[0] > 30
    assert 10 < face.brightness[0] < 95


def test_pictures_of_one_person_are_alike_and_of_two_are_not(analyser: FaceAnalyser, photos: Photos) -> None:
    contract = analyser.contract
    same = [score(analyser, photos["obama"], photos[other]) for other in ("obama2", "obama3")]
    assert contract.similarity(min(same)) > 95
    assert contract.similarity(score(analyser, photos["obama"], photos["biden"])) < 60


def test_a_picture_is_itself(analyser: FaceAnalyser, photos: Photos) -> None:
    assert analyser.contract.similarity(score(analyser, photos["biden"], photos["biden"])) == 100


def test_the_largest_face_comes_first(analyser: FaceAnalyser, photos: Photos) -> None:
    _, faces = seen(analyser, photos["both"])
    assert len(faces) == 2
    assert faces.areas[0] > faces.areas[1]
    assert faces.boxes[0, 0] < faces.boxes[1, 0]


def test_a_mirrored_picture_has_mirrored_landmarks_and_nearly_the_same_embedding(
    analyser: FaceAnalyser, photos: Photos
) -> None:
    picture, faces = seen(analyser, photos["obama"])
    flipped = Picture(np.ascontiguousarray(picture.pixels[:, ::-1]), picture.digest)
    there = analyser.detect(flipped)
    mirrored = there.landmarks[0][[1, 0, 2, 4, 3]] * [-1, 1] + [picture.width - 1, 0]
    width = faces.boxes[0, 2] - faces.boxes[0, 0]
    assert np.abs(mirrored - faces.landmarks[0]).max() < 0.08 * width
    a, b = analyser.embed(picture, faces[:1]).embeddings, analyser.embed(flipped, there[:1]).embeddings
    assert a is not None
    assert b is not None
    assert a[0] @ b[0] > 0.9


def test_embeddings_are_the_same_alone_and_among_others(analyser: FaceAnalyser, photos: Photos) -> None:
    """Threads share batches; who shared one must not show in the result."""
    names = ["obama", "biden", "both", "obama2"]
    alone = {name: analyser.embed(*seen(analyser, photos[name])) for name in names}
    together: dict[tuple[str, int], Faces] = {}

    def work(name: str, turn: int) -> None:
        together[name, turn] = analyser.embed(*seen(analyser, photos[name]))

    threads = [threading.Thread(target=work, args=(name, turn)) for name in names for turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(together) == 12
    for (name, _), faces in together.items():
        expected = alone[name]
        assert expected.embeddings is not None
        assert faces.embeddings is not None
        assert (faces.embeddings * expected.embeddings).sum(axis=1).min() > 0.9999


def test_a_picture_without_faces_gives_none_and_no_embeddings(analyser: FaceAnalyser) -> None:
    grey = Picture(np.full((200, 300, 3), 128, np.uint8), hashlib.sha256(b"grey").digest())
    faces = analyser.embed(grey, analyser.detect(grey))
    assert len(faces) == 0
    assert faces.embeddings is not None
    assert faces.embeddings.shape == (0, analyser.contract.dimensions)


@pytest.mark.parametrize("name", NAMES)
def test_similarity_rises_with_the_score_and_can_be_undone(name: str) -> None:
    contract = load_contract(name)
    assert (np.diff(contract.scores) > 0).all()
    assert (np.diff(contract.similarities) > 0).all()
    for similarity in (0.5, 50, 79.9, 80, 90, 99, 99.9):
        assert contract.similarity(contract.score(similarity)) == pytest.approx(similarity)
    assert contract.score(0) == -np.inf
    assert contract_of_version(contract.version) is contract
    assert set(contract.version) <= set("0123456789.")


def test_a_contract_of_another_release_is_named_with_its_cure() -> None:
    with pytest.raises(SetupError, match=r"face model 9\.9"):
        contract_of_version("9.9")


def test_models_that_are_missing_are_named_with_their_cure(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = Analysers(Settings(models=tmp_path_factory.mktemp("models"), data=tmp_path_factory.mktemp("data")))
    with pytest.raises(SetupError, match="recognizance models pull"):
        empty.default()
    with pytest.raises(SetupError, match="recognizance models pull"):
        empty.get("core")


class ScriptedDetector:
    """Finds one face of a given width in the picture, at and above one scale alone; notes the scales it was asked."""

    reliable_width = 12.0

    def __init__(self, width: float, least_scale: float) -> None:
        self.scales: list[float] = []
        self._width, self._least = width, least_scale

    def __call__(self, pixels: object, scale: float) -> Detections:
        del pixels
        self.scales.append(scale)
        n = int(scale >= self._least)
        box = np.array([[10, 10, 10 + self._width, 10 + self._width]] * n, np.float32).reshape(n, 4)
        points: FloatArray = np.full((n, 5, 2), 15, np.float32)
        return Detections(box, np.full(n, 0.9, np.float32), points)


def test_a_large_face_is_found_in_one_cheap_pass() -> None:
    detector = ScriptedDetector(width=300, least_scale=0)
    assert len(find_faces(detector, np.zeros((1280, 1280, 3), np.uint8)).scores) == 1
    assert detector.scales == [0.5]


def test_small_faces_call_for_a_larger_pass_and_count_once() -> None:
    detector = ScriptedDetector(width=30, least_scale=0)
    assert len(find_faces(detector, np.zeros((1280, 1280, 3), np.uint8)).scores) == 1
    assert detector.scales == [0.5, 1.0]


def test_a_picture_that_seems_empty_is_looked_at_again() -> None:
    detector = ScriptedDetector(width=30, least_scale=1.5)
    assert len(find_faces(detector, np.zeros((200, 200, 3), np.uint8)).scores) == 1
    assert detector.scales == [1.0, 512 / 200]


def test_no_more_than_the_hundred_largest_faces_are_kept(analyser: FaceAnalyser, photos: Photos) -> None:
    from PIL import Image

    picture, faces = seen(analyser, photos["obama"])
    x1, y1, x2, y2 = (int(v) for v in faces.boxes[0])
    face = Image.fromarray(picture.pixels[max(0, y1 - 60) : y2 + 60, max(0, x1 - 60) : x2 + 60])
    sheet = Image.new("RGB", (1280, 1280))
    for i in range(121):
        size = 96 if i < 115 else 80
        sheet.paste(face.resize((size, size)), (i % 11 * 116 + 8, i // 11 * 116 + 8))
    found = analyser.detect(Picture(np.asarray(sheet), hashlib.sha256(b"sheet").digest()))
    assert len(found) == 100
    assert (np.diff(found.areas) <= 0).all()


def test_faces_of_unknown_quality_cannot_pass_for_good_ones(analyser: FaceAnalyser, photos: Photos) -> None:
    picture, faces = seen(analyser, photos["obama"])
    import cv2

    blurred = np.asarray(cv2.GaussianBlur(picture.pixels, (0, 0), 25), np.uint8)
    there = analyser.detect(replace(picture, pixels=blurred))
    assert len(there) == 0 or there.quality[0] < faces.quality[0] - 10
