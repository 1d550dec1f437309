"""Facts about the verdict: two groups of scores inside a class, or none."""

from __future__ import annotations

import json
import math

import pytest
import torch

from fctfast.detect import Verdict, VerdictThresholds, verdict
from fctfast.detect.evidence import suspected_samples, weigh
from fctfast.detect.verdict import judge

CLASSES = 5


def clean(seed: int, n: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    logs = torch.randn(n, generator=generator, dtype=torch.float64) * 0.6 + 0.1 * labels
    return logs.exp(), labels


@pytest.mark.parametrize("seed", range(5))
def test_clean_scores_are_no_evidence(seed: int) -> None:
    fct, labels = clean(seed)
    seen = verdict(fct, labels, CLASSES)
    assert seen.evidence == "no"
    assert seen.suspected_target is None


@pytest.mark.parametrize("target", [0, 3])
def test_a_group_of_high_scores_in_one_class_is_evidence_and_names_it(target: int) -> None:
    fct, labels = clean(1)
    poisoned = (labels != target) & (torch.arange(len(fct)) % 9 == 0)
    labels = torch.where(poisoned, target, labels)
    fct = torch.where(poisoned, fct * 30, fct)
    seen = verdict(fct, labels, CLASSES)
    assert seen.evidence == "yes"
    assert seen.suspected_target == target
    assert seen.suspected_classes == (target,)
    assert f"class {target} form two groups" in seen.reasons[0]
    found = suspected_samples(fct, labels, weigh(fct, labels, CLASSES))
    assert float((found == poisoned).double().mean()) > 0.99
    assert bool((labels[found] == target).all())


def test_all_to_all_is_evidence_without_a_target() -> None:
    fct, labels = clean(2)
    poisoned = torch.rand(len(fct), generator=torch.Generator().manual_seed(9)) < 0.1
    labels = torch.where(poisoned, (labels + 1) % CLASSES, labels)
    fct = torch.where(poisoned, fct * 300, fct)
    seen = verdict(fct, labels, CLASSES)
    assert seen.evidence == "yes"
    assert seen.suspected_target is None
    assert sorted(seen.suspected_classes) == list(range(CLASSES))
    assert "without a single target" in seen.reasons[1]
    found = suspected_samples(fct, labels, weigh(fct, labels, CLASSES))
    assert float((found == poisoned).double().mean()) > 0.99


def test_two_targets_are_both_suspected_the_clearer_first() -> None:
    fct, labels = clean(6, 5000)
    marked = torch.arange(len(fct)) % 7 == 0
    for target, strength in ((1, 20.0), (4, 60.0)):
        chosen = marked & (labels == target)
        fct = torch.where(chosen, fct * strength, fct)
    seen = verdict(fct, labels, CLASSES)
    assert seen.suspected_classes == (4, 1)
    assert seen.suspected_target == 4
    assert "2 of 5 classes are suspected" in seen.reasons[1]


def test_between_the_thresholds_it_is_unclear_and_nobody_is_suspected() -> None:
    fct, labels = clean(1)
    poisoned = (labels != 3) & (torch.arange(len(fct)) % 9 == 0)
    labels = torch.where(poisoned, 3, labels)
    fct = torch.where(poisoned, fct * 30, fct)
    seen = weigh(fct, labels, CLASSES)
    limits = VerdictThresholds(seen.separation + 0.1, seen.separation - 0.1)
    judged = verdict(fct, labels, CLASSES, limits)
    assert judged.evidence == "unclear"
    assert judged.suspected_target is None
    assert not suspected_samples(fct, labels, seen, limits).any()


def test_beside_a_class_with_evidence_the_lower_threshold_is_enough() -> None:
    fct, labels = clean(6, 5000)
    for target, strength in ((1, 20.0), (4, 60.0)):
        chosen = (torch.arange(len(fct)) % 7 == 0) & (labels == target)
        fct = torch.where(chosen, fct * strength, fct)
    seen = weigh(fct, labels, CLASSES)
    fainter, clearer = seen.class_separation[1], seen.class_separation[4]
    assert fainter is not None
    assert clearer is not None
    between = (fainter + clearer) / 2
    both = VerdictThresholds(between, fainter - 0.1)
    assert judge(seen, both).suspected_classes == (4, 1)
    found = suspected_samples(fct, labels, seen, both)
    assert set(labels[found].tolist()) == {1, 4}
    assert judge(seen, VerdictThresholds(between, fainter + 0.1)).suspected_classes == (4,)
    assert judge(seen, VerdictThresholds(clearer + 0.1, fainter - 0.1)).suspected_classes == ()


# Classes, how many of them have faint groups beside the clear one, by how much its poison is
# more sensitive, how many are suspected.
@pytest.mark.parametrize(
    ("classes", "faint", "clear", "suspected"),
    [
        (10, 3, 12.0, 1), (10, 4, 12.0, 5), (5, 3, 12.0, 1), (5, 4, 12.0, 5), (4, 3, 12.0, 1),
        (12, 4, 12.0, 1), (12, 5, 12.0, 6), (10, 5, 12.0, 6), (10, 5, 100.0, 1),
    ],
)  # fmt: skip
def test_faint_groups_in_half_of_the_classes_are_an_attack_without_a_target_unless_one_stands_out(
    classes: int, faint: int, clear: float, suspected: int
) -> None:
    made = torch.Generator().manual_seed(4)
    n = 8000 * classes
    labels = torch.arange(n) % classes
    fct = (0.6 * torch.randn(n, generator=made, dtype=torch.float64)).exp()
    marked = torch.rand(n, generator=made) < 0.2
    for number in range(faint + 1):
        chosen = marked & (labels == number)
        fct = torch.where(chosen, fct * (clear if number == 0 else 4.5), fct)
    seen = verdict(fct, labels, classes)
    assert sum(2.0 <= s < 3.0 for s in seen.class_separation if s is not None) == faint
    assert seen.evidence == "yes"
    assert sorted(seen.suspected_classes) == list(range(suspected))
    assert seen.suspected_target == (0 if suspected == 1 else None)


def test_faint_groups_alone_are_no_evidence() -> None:
    fct, labels = clean(4, 20000)
    marked = torch.rand(len(fct), generator=torch.Generator().manual_seed(1)) < 0.2
    seen = verdict(torch.where(marked, fct * 4.5, fct), labels, CLASSES)
    assert all(s is not None and 2.0 <= s < 3.0 for s in seen.class_separation)
    assert (seen.evidence, seen.suspected_classes) == ("no", ())


@pytest.mark.parametrize("limits", [(3.0, 3.5, 2.0), (3.5, 3.0, 3.2), (3.5, 3.0, math.nan)])
def test_thresholds_out_of_order_are_refused(limits: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected separation_yes >= separation_no"):
        VerdictThresholds(*limits)


def test_a_tail_of_easy_samples_is_not_poison() -> None:
    fct, labels = clean(3)
    easy = torch.arange(len(fct)) % 10 == 0
    fct = torch.where(easy, fct * 1e-4, fct)
    assert verdict(fct, labels, CLASSES).evidence == "no"
    fct, labels = clean(3)
    easy = (labels == 4) & (torch.arange(len(fct)) % 10 == 9) & (torch.rand(len(fct)) < 0.3)
    seen = verdict(torch.where(easy, fct * 1e-4, fct), labels, CLASSES)
    assert seen.evidence == "no"
    assert seen.class_separation[4] == 0.0
    assert "% of it lies in the upper one" in seen.reasons[1]


@pytest.mark.parametrize(("classes", "rate", "each"), [(40, 0.1, 200), (100, 0.1, 120)])
@pytest.mark.parametrize("sampled", [False, True])
def test_of_many_classes_the_target_s_is_poison_for_the_most_part(
    classes: int, rate: float, each: int, sampled: bool
) -> None:
    labels = torch.arange(classes * each) % classes
    fct = torch.randn(len(labels), generator=torch.Generator().manual_seed(5)).double().exp()
    poisoned = (labels != 7) & (torch.rand(len(labels)) < rate)
    labels = torch.where(poisoned, 7, labels)
    fct = torch.where(poisoned, fct * 300, fct)
    sizes = torch.bincount(labels, minlength=classes)
    assert float(poisoned.sum() / sizes[7]) > 0.75
    if sampled:  # at most 400 of each, as where moments are compared: the target's size is gone
        few = torch.cat([(labels == c).nonzero().flatten()[:400] for c in range(classes)])
        fct, labels, poisoned = fct[few], labels[few], poisoned[few]
    seen = weigh(fct, labels, classes, min_group=10, sizes=sizes)
    assert judge(seen).suspected_classes == (7,)
    found = suspected_samples(fct, labels, seen)
    assert float((found == poisoned).double().mean()) > 0.999


@pytest.mark.parametrize(
    "sizes", [[500, 5000], [400] * 8 + [1000, 2000], [50, 84, 139, 232, 387, 646, 1077, 1796, 3000]]
)
def test_a_class_that_is_large_by_nature_is_not_poison_for_its_easy_samples(
    sizes: list[int],
) -> None:
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    for seed, number in ((0, -1), (1, -1), (2, -2)):
        made = torch.Generator().manual_seed(seed)
        logs = torch.randn(len(labels), generator=made, dtype=torch.float64)
        tail = torch.rand(len(labels), generator=made) < 0.15
        target = range(len(sizes))[number]
        logs = torch.where(tail & (labels == target), logs - 6, logs + 0.1 * (labels == target))
        assert verdict(logs.exp(), labels, len(sizes)).evidence == "no"


def test_many_easy_tails_are_counted_and_three_are_named() -> None:
    made = torch.Generator().manual_seed(4)
    labels = torch.arange(4000) % 20
    logs = torch.randn(4000, generator=made, dtype=torch.float64) + labels * 1e-3
    seen = verdict(torch.where(torch.arange(4000) % 9 == 0, logs - 7, logs).exp(), labels, 20)
    assert seen.evidence == "no"
    assert sum("forms two groups" in reason for reason in seen.reasons) == 3
    assert "more classes do so" in seen.reasons[-1]


def test_small_classes_are_passed_over_and_the_summary_is_json() -> None:
    fct, labels = clean(4, 60)
    labels[:] = 0
    labels[:5] = 1
    seen = verdict(fct, labels, 3)
    assert seen.class_separation[1] is None
    assert seen.class_separation[2] is None
    assert Verdict.from_summary(json.loads(json.dumps(seen.summary()))) == seen


def test_scores_of_zero_do_not_break_it() -> None:
    fct, labels = clean(5)
    fct[::7] = 0.0
    seen = verdict(fct, labels, CLASSES)
    assert math.isfinite(seen.separation)


def test_samples_that_tau_does_not_move_are_no_group() -> None:
    fct, labels = clean(6, 800)
    labels = labels % 2
    fct = torch.where(labels == 1, fct * 1.2, fct)
    fct[(labels == 1).nonzero().flatten()[:150]] = 1.2e-38  # black images
    seen = verdict(fct, labels, 2)
    assert seen.evidence == "no"
    assert not suspected_samples(fct, labels, weigh(fct, labels, 2)).any()


def test_classes_that_cannot_be_tested_are_said_to_be_so() -> None:
    fct, labels = clean(7, 150)  # 30 samples a class
    seen = verdict(fct, labels, CLASSES)
    assert seen.evidence == "unclear"
    assert "no class has 40 samples" in seen.reasons[0]
    fct, labels = clean(7, 2000)
    seen = verdict(fct, labels, CLASSES + 3)
    assert seen.evidence == "no"
    assert "3 of 8 classes have too few samples" in seen.reasons[1]
