"""Verification metrics, against values worked out by hand and against slow, plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recognizance.vision.embedders import normalise
from recognizance.vision.metrics import (
    PairScores,
    auc,
    cross_validated_accuracy,
    equal_error_rate,
    tar_of_pairs,
)

SCORES = np.array([0.9, 0.8, 0.4, 0.7, 0.3, 0.1, 0.0, 0.2])
SAME = np.array([True, True, True, True, False, False, False, False])


def test_pairs_that_are_fully_apart_have_no_errors() -> None:
    assert auc(SCORES, SAME) == 1
    assert equal_error_rate(SCORES, SAME) == 0
    assert tar_of_pairs(SCORES, SAME, 1e-3) == 1


def test_accuracy_is_cross_validated() -> None:
    scores = np.concatenate([np.linspace(0.5, 1, 50), np.linspace(0, 0.45, 50)])
    same = np.arange(100) < 50
    scores[0] = 0.1  # one mated pair in the middle of the others
    assert cross_validated_accuracy(scores, same) == pytest.approx(0.99)


def test_a_picture_without_a_face_never_matches() -> None:
    scores = SCORES.copy()
    scores[0] = -np.inf
    assert tar_of_pairs(scores, SAME, 1e-3) == 0.75
    assert cross_validated_accuracy(scores, SAME, folds=2) < 1


@given(
    hnp.arrays(np.float64, 30, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])),
    hnp.arrays(np.bool_, 30).filter(lambda a: 0 < a.sum() < 30),
)
def test_auc_is_the_chance_that_a_mated_pair_scores_higher(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], same: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    wins = [(a > b) + (a == b) / 2 for a in scores[same] for b in scores[~same]]
    assert auc(scores, same) == pytest.approx(np.mean(wins))


def test_all_pairs_are_counted_once_each() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40, 8)).astype(np.float32)
    rows = normalise(rows)
    levels = rng.random(40).astype(np.float32) / 2
    people = np.arange(40) // 4
    found = PairScores.of_all_pairs(rows, np.asarray(levels, np.float32), people)
    assert found.mated.sum() == 10 * 6
    assert found.non_mated.sum() == 40 * 39 / 2 - 60
    scores = rows @ rows.T - (levels[:, None] + levels[None]) / 2
    apart = np.asarray(scores[np.triu(people[:, None] != people[None])])
    for threshold in (-0.7, -0.2, 0.0, 0.11, 0.4):
        assert found.fmr_at(threshold) == pytest.approx((apart >= threshold).mean(), abs=2e-3)


def test_rates_of_no_pairs_are_absent() -> None:
    one = PairScores.of_all_pairs(np.ones((1, 1), np.float32), np.zeros(1, np.float32), np.zeros(1, np.intp))
    assert one.fmr_at(0.5) is None
    assert one.fnmr_at(0.5) is None
    assert one.tar_at_fmr(0.1) is None


def test_a_rate_that_the_pairs_are_too_few_to_show_is_absent() -> None:
    rows = normalise(np.asarray(np.random.default_rng(5).normal(size=(20, 4)), np.float32))
    found = PairScores.of_all_pairs(rows, np.zeros(20, np.float32), np.arange(20) // 2)
    assert found.tar_at_fmr(1e-2) is not None
    assert found.tar_at_fmr(1e-3) is None


def test_blocks_do_not_change_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows = np.asarray(rng.normal(size=(50, 4)), np.float32)
    rows = normalise(rows)
    people = np.arange(50) // 2
    whole = PairScores.of_all_pairs(rows, np.zeros(50, np.float32), people)
    monkeypatch.setattr("recognizance.vision.metrics.BLOCK", 7)
    parts = PairScores.of_all_pairs(rows, np.zeros(50, np.float32), people)
    assert parts.mated.sum() == whole.mated.sum()
    assert parts.tar_at_fmr(0.1) == pytest.approx(whole.tar_at_fmr(0.1), abs=0.05)
