import numpy as np
import pytest

from recognizance.collections import vectors
from recognizance.vision.faces import FloatArray


def unit(rng: np.random.Generator, n: int, d: int) -> FloatArray:
    made = rng.normal(size=(n, d)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def test_a_product_of_stored_vector_and_probe_is_the_score_less_half_the_probes_level() -> None:
    rng = np.random.default_rng(0)
    embeddings, levels = unit(rng, 20, 128), rng.uniform(0.2, 0.6, 20).astype(np.float32)
    probe = unit(rng, 3, 128)
    products = vectors.probes(probe) @ vectors.stored(embeddings, levels).astype(np.float32).T
    np.testing.assert_allclose(products, probe @ embeddings.T - levels / 2, atol=2e-3)


def test_embeddings_survive_storage_to_half_precision() -> None:
    rng = np.random.default_rng(1)
    embeddings, levels = unit(rng, 5, 512), rng.uniform(0.2, 0.6, 5).astype(np.float32)
    rows = [row.tobytes() for row in vectors.stored(embeddings, levels)]
    assert {len(row) for row in rows} == {2 * 513}
    back, level = vectors.embedding_and_level(vectors.from_rows(rows))
    np.testing.assert_allclose(back, embeddings, atol=1e-4)
    np.testing.assert_allclose(level, levels, atol=1e-3)


def test_a_user_with_one_face_is_that_face() -> None:
    rng = np.random.default_rng(2)
    face = vectors.stored(unit(rng, 1, 128), np.array([0.4], np.float32))
    np.testing.assert_allclose(vectors.aggregate(face), face[0], atol=1e-3)


def test_a_users_embedding_is_the_direction_of_the_mean_and_its_level_grows_as_the_mean_shrinks() -> None:
    """Two faces at 60 degrees: their mean has length cos 30, so every stranger's cosine is divided by that."""
    faces = np.array([[1, 0, 0], [0.5, np.sqrt(0.75), 0]], np.float32)
    made = vectors.aggregate(vectors.stored(faces, np.array([0.3, 0.5], np.float32)))
    embedding, level = vectors.embedding_and_level(made[None])
    length = np.cos(np.pi / 6)
    np.testing.assert_allclose(embedding[0], [length, 0.5, 0], atol=1e-3)
    np.testing.assert_allclose(level, 0.4 / length, atol=1e-3)


def test_a_users_score_with_strangers_is_the_mean_of_its_faces_scaled() -> None:
    """What the aggregate must keep: an impostor's expected score does not rise with the number of faces."""
    rng = np.random.default_rng(3)
    person = unit(rng, 1, 128)
    faces = person + rng.normal(size=(8, 128)).astype(np.float32) * 0.06
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    strangers = unit(rng, 200, 128)
    levels = (strangers @ faces.T).mean(axis=0)
    embedding, level = vectors.embedding_and_level(vectors.aggregate(vectors.stored(faces, levels))[None])
    assert float((strangers @ embedding[0]).mean()) == pytest.approx(float(level[0]), abs=2e-3)


def test_opposite_faces_still_make_a_user() -> None:
    faces = np.array([[1, 0], [-1, 0]], np.float32)
    made = vectors.aggregate(vectors.stored(faces, np.array([0.1, 0.2], np.float32)))
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[:2], [1, 0])
