"""Facts about alpha "auto": from the evidence alone, and on the safe side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import DetectSettings, PoisonRate, detect
from fctfast.detect.evidence import suspected_samples, weigh
from fctfast.detect.shares import auto_shares, check_shares, resolve_shares

CLASSES = 4


def resolve(
    apart: float, alpha_c: float | str = "auto", alpha_p: float | str = "auto", low: float = 0.0
) -> tuple[tuple[float, float], torch.Tensor, torch.Tensor]:
    """Shares for a set whose class 1 lies `low` down and its poison `apart` up; poison; order."""
    made = torch.Generator().manual_seed(0)
    labels = torch.arange(4000) % CLASSES
    logs = torch.randn(4000, generator=made, dtype=torch.float64)
    poisoned = (labels != 1) & (torch.rand(4000, generator=made) < 0.12)
    labels = torch.where(poisoned, 1, labels)
    fct = (logs + apart * poisoned - low * (labels == 1)).exp()
    seen = weigh(fct, labels, CLASSES)
    suspected = suspected_samples(fct, labels, seen)
    rate = PoisonRate(0.09, 0.08996, 0.1) if suspected.any() else None
    auto = auto_shares(fct, labels, suspected, seen, rate)
    shares = resolve_shares(alpha_c, alpha_p, auto, len(fct))
    order = (fct.log() + 1e3 * suspected).argsort()
    return shares, poisoned, order


def test_what_is_kept_is_as_large_as_stays_clean() -> None:
    (kept, flagged), poisoned, order = resolve(6.0)
    assert flagged == 0.0899  # the lower end, rounded down
    assert kept == 0.85
    assert float(poisoned[order[: int(kept * 4000)]].double().mean()) <= 0.001
    assert float(poisoned[order[-int(flagged * 4000) :]].double().mean()) > 0.99


def test_groups_that_touch_leave_less_to_keep() -> None:
    (kept, _), poisoned, order = resolve(3.6, low=3.4)  # the poison lies where the others do
    assert kept < 0.85
    count = int(kept * 4000)
    # The posteriors say .1 %: a count with that mean, and two standard errors more.
    expected = 0.001 * count
    assert float(poisoned[order[:count]].sum()) <= expected + 2 * expected**0.5
    assert float(poisoned[order[: int(0.85 * 4000)]].double().mean()) > 0.001


def test_without_evidence_nobody_is_flagged() -> None:
    assert resolve(0.0)[0] == (0.2, 0.0)


def test_given_shares_stay_and_the_sum_is_kept_below_one() -> None:
    assert resolve(6.0, 0.3, 0.04)[0] == (0.3, 0.04)
    assert resolve(6.0, "auto", 0.9)[0] == (pytest.approx(0.1), 0.9)
    assert resolve(6.0, "auto", 0.85)[0] == (0.15, 0.85)
    assert resolve(6.0, 0.95, "auto")[0] == (0.95, 0.05)
    with pytest.raises(ValueError, match="must not exceed 1"):
        resolve(6.0, 0.95, 0.1)
    with pytest.raises(ValueError, match="expected a share in \\[0, 1\\] or 'auto', got 'all'"):
        check_shares("all", 0.1)


def test_an_audit_resolves_them_and_published_takes_the_papers(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    settings = replace(small_settings, alpha_c="auto", alpha_p="auto")
    found = detect(small_set, settings=settings, seed=3)
    assert found.rate is None  # 40 samples a class: no group of 20 stands apart in this one
    assert (found.split.alpha_c, found.split.alpha_p) == (0.2, 0.0)
    assert len(found.split.poisoned) == 0
    assert len(found.resplit(alpha_p=0.05).split.poisoned) == 6
    paper = detect(small_set, settings=settings, mode="published")
    assert (paper.split.alpha_c, paper.split.alpha_p) == (0.2, 0.05)
    again = paper.resplit(0.5)
    assert (again.split.alpha_c, again.split.alpha_p) == (0.5, 0.05)
