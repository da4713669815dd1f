"""The galleries that searches are measured with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.cli.bench.search.distractors import Distractors
from recognizance.cli.bench.search.embeddings import Embeddings
from recognizance.cli.bench.search.files import GalleryFiles
from recognizance.cli.bench.search.gallery import ClusteredGallery, Gallery, RealGallery
from recognizance.cli.bench.search.truth import HITS, Truth
from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from recognizance.vision.faces import FloatArray

_DIMENSIONS = 16


def _people(count: int = 1500, seed: int = 3) -> Embeddings:
    """Two faces each, of people who are alike in some directions more than in others."""
    random = np.random.default_rng(seed)
    scale = np.linspace(3, 0.5, _DIMENSIONS)
    centres = random.standard_normal((count, _DIMENSIONS)) * scale
    faces = np.repeat(centres, 2, axis=0) + 0.3 * random.standard_normal((2 * count, _DIMENSIONS))
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    levels = random.normal(0.3, 0.02, (2 * count, 1))
    return Embeddings(np.concatenate([faces, -levels / 2], axis=1).astype(np.float32), np.repeat(np.arange(count), 2))


def _rows(gallery: Gallery) -> FloatArray:
    return np.concatenate(list(gallery.chunks())).astype(np.float32)


def _galleries() -> list[Gallery]:
    return [ClusteredGallery(40_000, _DIMENSIONS, 20), RealGallery(_people(), 40_000, 20)]


@pytest.mark.parametrize("gallery", _galleries(), ids=["clustered", "real"])
def test_a_gallery_has_the_rows_it_promises_and_the_same_ones_every_time(gallery: Gallery) -> None:
    rows = _rows(gallery)
    assert rows.shape == (40_000, _DIMENSIONS + 1)
    assert np.linalg.norm(rows[:, :-1], axis=1) == pytest.approx(1, abs=1e-2)
    assert (rows == _rows(gallery)).all()


@pytest.mark.parametrize("gallery", _galleries(), ids=["clustered", "real"])
def test_probes_resemble_the_rows_of_their_person_and_are_none_of_them(gallery: Gallery) -> None:
    rows = _rows(gallery)
    assert len(gallery.probes) == len(gallery.people) == 20
    assert (gallery.probes[:, -1] == 1).all()
    for probe, people in zip(gallery.probes, gallery.people, strict=True):
        cosines = rows[:, :-1] @ probe[:-1]
        assert len(people)
        assert cosines[people].max() > np.percentile(cosines, 99)
        assert cosines[people].max() < 0.9999


def test_a_small_gallery_of_real_faces_has_none_made_up() -> None:
    real = _people()
    gallery = RealGallery(real, 1000, 20)
    stored = {row.tobytes() for row in real.vectors.astype(np.float16)}
    assert all(row.tobytes() in stored for chunk in gallery.chunks() for row in chunk)
    assert all(len(people) for people in gallery.people)


def test_made_up_people_are_spread_as_the_real_ones() -> None:
    real = _people().vectors[::2]
    made = Distractors(real).draw(len(real), np.random.default_rng(1))
    assert made.mean(axis=0) == pytest.approx(real.mean(axis=0), abs=0.03)
    assert np.cov(made.T) == pytest.approx(np.cov(real.T), abs=0.02)
    strangers = _people(seed=4).vectors[:200, :-1]
    nearest = [np.median((strangers @ some[:, :-1].T).max(axis=1)) for some in (real, made)]
    assert nearest[1] == pytest.approx(nearest[0], abs=0.05)


def test_what_must_be_found_is_what_comparing_all_at_once_finds(tmp_path: Path) -> None:
    gallery = ClusteredGallery(40_000, _DIMENSIONS, 20)
    told: list[tuple[int, int]] = []
    files, truth = GalleryFiles.write(tmp_path, gallery, lambda done, total: told.append((done, total)))
    assert told[-1] == (40_000, 40_000)
    opened = GalleryFiles.open(tmp_path)
    assert opened == files
    assert (opened.probes() == gallery.probes).all()
    scores = gallery.probes @ opened.vectors().astype(np.float32).T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :HITS]
    assert (truth.rows == expected).mean() > 0.99  # float32 products may differ in the last place


def test_recall_is_the_share_of_the_best_rows_that_were_found() -> None:
    truth = Truth(np.eye(2, dtype=np.float32))
    rows = np.stack([np.linspace(1, 0.5, 20), np.linspace(0, 1, 20)], axis=1).astype(np.float16)
    for part in np.array_split(rows, 3):
        truth.see(part)
    assert truth.rows[0].tolist() == list(range(10))
    assert truth.rows[1].tolist() == list(range(19, 9, -1))
    assert truth.recall([[0, 1, 2]], [0], 1) == 1
    assert truth.recall([[1, 0], [18]], [0, 1], 1) == 0
    assert truth.recall([list(range(5)), list(range(10, 20))], [0, 1], 10) == 0.75


def test_real_embeddings_are_read_from_a_file(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    made = random.standard_normal((1200, 8))
    names = np.array(["anna", "anna", "", ""] + [f"p{number}" for number in range(1196)])
    np.savez(tmp_path / "faces.npz", embeddings=made * 3, people=names, levels=np.full(1200, 0.4))
    real = Embeddings.read(tmp_path / "faces.npz")
    assert np.linalg.norm(real.vectors[:, :-1], axis=1) == pytest.approx(1, abs=1e-6)
    assert real.vectors[:, -1] == pytest.approx(-0.2)
    assert real.people[0] == real.people[1]
    assert len(np.unique(real.people)) == 1199  # whoever has no name is somebody else
    assert set(real.one_of_each_pair(random).tolist()) <= {0, 1}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"other": np.zeros(3)}, "no array `embeddings`"),
        ({"embeddings": np.ones((10, 8))}, "1,000 rows"),
        ({"embeddings": np.ones((1000, 8)), "levels": np.ones(3)}, "one entry"),
        ({"embeddings": np.zeros((1000, 8)), "people": np.zeros(1000)}, "not finite"),
        ({"embeddings": np.ones((1000, 8))}, "nobody with two faces"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(arrays: dict[str, FloatArray], says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", allow_pickle=False, **arrays)
    with pytest.raises(SetupError, match=says):
        Embeddings.read(tmp_path / "faces.npz")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    path.write_bytes(b"PK nothing")
    with pytest.raises(SetupError, match="is not an"):
        Embeddings.read(path)
    np.save(tmp_path / "faces.npy", np.zeros(3))
    with pytest.raises(SetupError, match="is not an"):
        Embeddings.read(tmp_path / "faces.npy")
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        Embeddings.read(tmp_path / "nothing.npz")
