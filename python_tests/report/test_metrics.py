from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fctfast.attacks.truth import Truth
from fctfast.detect import Scores
from fctfast.report import auroc, split_quality

Make = Callable[..., tuple[Scores, Truth]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_auroc_is_the_chance_that_poison_scores_higher(rows: list[tuple[int, bool]]) -> None:
    """Against the definition, pair by pair; small integers make ties."""
    scores = torch.tensor([float(score) for score, _ in rows])
    positive = torch.tensor([flag for _, flag in rows])
    above, below = scores[positive], scores[~positive]
    got = auroc(scores, positive)
    if not len(above) or not len(below):
        assert got is None
        return
    pairs = above[:, None] - below[None, :]
    expected = float(((pairs > 0).double() + (pairs == 0).double() / 2).mean())
    assert got == pytest.approx(expected, abs=1e-12)


def test_auroc_refuses_scores_that_are_not_numbers() -> None:
    with pytest.raises(ValueError, match="without NaN"):
        auroc(torch.tensor([1.0, float("nan")]), torch.tensor([True, False]))
    with pytest.raises(ValueError, match="one length"):
        auroc(torch.ones(2), torch.ones(3, dtype=torch.bool))


def test_a_perfect_split(make_scores: Make) -> None:
    scores, truth = make_scores(200, 20)
    quality = split_quality(scores, scores.split(0.2, 0.05), truth)
    assert quality == {
        "samples": 200,
        "poisoned_samples": 20,
        "auroc": 1.0,
        "fct_auroc": 1.0,
        "clean_size": 40,
        "clean_precision": 1.0,
        "poison_size": 10,
        "poison_precision": 1.0,
        "poison_recall": 0.5,
    }


def test_a_reversed_split(make_scores: Make) -> None:
    scores, truth = make_scores(200, 20, shift=-5.0)
    quality = split_quality(scores, scores.split(0.2, 0.05), truth)
    assert quality["auroc"] == 0.0
    assert quality["clean_precision"] == 0.5
    assert quality["poison_precision"] == 0.0


def test_without_poison_there_is_no_recall(make_scores: Make) -> None:
    scores, truth = make_scores(200, 0)
    quality = split_quality(scores, scores.split(0.2, 0.0), truth)
    assert quality["auroc"] is None
    assert quality["poison_precision"] is None
    assert quality["poison_recall"] is None
    assert quality["clean_precision"] == 1.0


def test_the_truth_may_hold_more_samples_than_were_scored(make_scores: Make) -> None:
    scores, truth = make_scores(200, 20)
    half = Scores(ids=scores.ids[100:], labels=scores.labels[100:], fct=scores.fct[100:])
    quality = split_quality(half, half.split(0.2, 0.05), truth)
    assert (quality["samples"], quality["poisoned_samples"]) == (100, 20)


def test_the_truth_of_another_set_is_refused(make_scores: Make) -> None:
    scores, truth = make_scores(200, 20)
    other = Truth(truth.ids + 1, truth.poisoned, truth.true_labels)
    with pytest.raises(ValueError, match="truth of another set"):
        split_quality(scores, scores.split(), other)
