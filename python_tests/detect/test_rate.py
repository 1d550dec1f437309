"""Facts about the estimated poisoning rate: it holds the truth, and needs evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fctfast.detect import rate as rate_module
from fctfast.detect.evidence import weigh
from fctfast.detect.rate import poison_rate

CLASSES = 5


def poisoned_set(seed: int, rate: float, apart: float) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Log-scores of 5 classes, some samples of which were moved to class 2 and up by `apart`."""
    made = torch.Generator().manual_seed(seed)
    labels = torch.arange(4000) % CLASSES
    logs = torch.randn(4000, generator=made, dtype=torch.float64)
    poisoned = (labels != 2) & (torch.rand(4000, generator=made) < rate)
    labels = torch.where(poisoned, 2, labels)
    return torch.where(poisoned, logs + apart, logs).exp(), labels, float(poisoned.double().mean())


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the resamples: the ends move a little, the test is quick."""
    monkeypatch.setattr(rate_module, "RESAMPLES", 10)


@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_the_interval_holds_the_truth(rate: float) -> None:
    held = 0
    for seed in range(5):
        fct, labels, truth = poisoned_set(seed, rate, 5.0)
        found = poison_rate(fct, labels, weigh(fct, labels, CLASSES), seed=seed)
        assert found is not None
        assert found.low <= found.rate <= found.high
        assert found.rate == pytest.approx(truth, abs=0.01)
        assert found.high - found.low < 0.03
        held += found.low <= truth <= found.high
    assert held >= 4  # 95 % each: fewer than 4 of 5 has a chance of 2 %


def test_other_moments_widen_it_if_they_suspect_the_same_class() -> None:
    fct, labels, _ = poisoned_set(0, 0.1, 5.0)
    chosen = weigh(fct, labels, CLASSES)
    alone = poison_rate(fct, labels, chosen)
    assert alone is not None
    # Another moment that saw a twentieth of the set more in the upper group.
    groups = chosen.classes[2]
    assert groups is not None
    share = float((labels == 2).double().mean())
    more = replace(groups, upper_share=groups.upper_share + 0.05 / share)
    other = replace(chosen, classes=(*chosen.classes[:2], more, *chosen.classes[3:]))
    wider = poison_rate(fct, labels, chosen, [other])
    assert wider is not None
    assert (wider.rate, wider.low) == (alone.rate, alone.low)
    assert wider.high == pytest.approx(alone.rate + 0.05)
    # One that suspects nobody says nothing.
    nobody = weigh(torch.rand(4000, dtype=torch.float64) + 1, labels, CLASSES)
    assert poison_rate(fct, labels, chosen, [nobody]) == alone


def test_samples_that_tau_does_not_move_are_not_poison() -> None:
    fct, labels, truth = poisoned_set(0, 0.1, 5.0)
    black = torch.arange(len(fct) + 400) >= len(fct)  # of the target class, in neither group
    fct = torch.cat([fct, torch.zeros(400, dtype=torch.float64)])
    labels = torch.cat([labels, torch.full((400,), 2)])
    found = poison_rate(fct, labels, weigh(fct, labels, CLASSES))
    assert found is not None
    assert found.rate == pytest.approx(truth * float((~black).double().mean()), abs=0.005)


def test_without_evidence_there_is_no_estimate() -> None:
    fct, labels, _ = poisoned_set(0, 0.0, 5.0)
    assert poison_rate(fct, labels, weigh(fct, labels, CLASSES)) is None


def test_the_same_seed_gives_the_same_interval() -> None:
    fct, labels, _ = poisoned_set(1, 0.1, 5.0)
    seen = weigh(fct, labels, CLASSES)
    assert poison_rate(fct, labels, seen, seed=3) == poison_rate(fct, labels, seen, seed=3)
    assert poison_rate(fct, labels, seen, seed=3) != poison_rate(fct, labels, seen, seed=4)
