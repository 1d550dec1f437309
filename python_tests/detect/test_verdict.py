"""Facts about the verdict: two groups inside the class that D_p gathers in, or none."""

from __future__ import annotations

import json
import math

import pytest
import torch

from fctfast.detect import Verdict, verdict
from fctfast.detect.verdict import two_groups

CLASSES = 5


def clean(seed: int, n: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    logs = torch.randn(n, generator=generator, dtype=torch.float64) * 0.6 + 0.1 * labels
    return logs.exp(), labels


def flag(fct: torch.Tensor, share: float = 0.05) -> torch.Tensor:
    flagged = torch.zeros(len(fct), dtype=torch.bool)
    flagged[fct.argsort()[-int(share * len(fct)) :]] = True
    return flagged


def test_one_gaussian_group_shows_the_same_separation_at_every_width() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # Halves of a Gaussian: means +-sqrt(2/pi), variance 1 - 2/pi within.
    expected = 2 * math.sqrt(2 / math.pi) / math.sqrt(1 - 2 / math.pi)
    for width in (0.01, 1.0, 300.0):
        separation, share = two_groups(values * width + 7.0)
        assert separation == pytest.approx(expected, rel=0.02)
        assert share == pytest.approx(0.5, abs=0.03)


def test_two_groups_are_cut_between_them() -> None:
    values = torch.cat([torch.linspace(0, 1, 70), torch.linspace(9, 10, 30)]).double()
    separation, share = two_groups(values)
    assert share == pytest.approx(0.3)
    assert separation == pytest.approx(9.0 / math.sqrt((1 / 12) * 1.03), rel=0.02)
    assert two_groups(torch.ones(10)) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_clean_scores_are_no_evidence(seed: int) -> None:
    fct, labels = clean(seed)
    seen = verdict(fct, labels, flag(fct), CLASSES)
    assert seen.evidence == "no"
    assert seen.suspected_target is None


@pytest.mark.parametrize("target", [0, 3])
def test_a_group_of_high_scores_in_one_class_is_evidence_and_names_it(target: int) -> None:
    fct, labels = clean(1)
    poisoned = (labels != target) & (torch.arange(len(fct)) % 9 == 0)
    labels = torch.where(poisoned, target, labels)
    fct = torch.where(poisoned, fct * 30, fct)
    seen = verdict(fct, labels, flag(fct), CLASSES)
    assert seen.evidence == "yes"
    assert seen.suspected_target == target
    assert str(target) in seen.reasons[0]


def test_all_to_all_is_evidence_without_a_target() -> None:
    fct, labels = clean(2)
    poisoned = torch.rand(len(fct), generator=torch.Generator().manual_seed(9)) < 0.1
    labels = torch.where(poisoned, (labels + 1) % CLASSES, labels)
    fct = torch.where(poisoned, fct * 300, fct)
    seen = verdict(fct, labels, flag(fct), CLASSES)
    assert seen.evidence == "yes"
    assert seen.suspected_target is None


def test_a_tail_of_easy_samples_is_not_poison() -> None:
    fct, labels = clean(3)
    easy = torch.arange(len(fct)) % 10 == 0
    fct = torch.where(easy, fct * 1e-4, fct)
    assert verdict(fct, labels, flag(fct), CLASSES).evidence == "no"


def test_small_classes_are_passed_over_and_the_summary_is_json() -> None:
    fct, labels = clean(4, 60)
    labels[:] = 0
    labels[:5] = 1
    seen = verdict(fct, labels, flag(fct, 0.1), 3)
    assert seen.class_separation[1] is None
    assert seen.class_separation[2] is None
    assert Verdict.from_summary(json.loads(json.dumps(seen.summary()))) == seen


def test_scores_of_zero_do_not_break_it() -> None:
    fct, labels = clean(5)
    fct[::7] = 0.0
    seen = verdict(fct, labels, flag(fct), CLASSES)
    assert math.isfinite(seen.separation)
