"""Learning rates against torch's own schedulers and the SupContrast warm-up."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from fctfast.train import ScheduleSettings
from fctfast.train.schedule import learning_rate


def _rates(schedule: ScheduleSettings, epochs: int, lr: float) -> list[float]:
    return [learning_rate(schedule, lr, epoch=e, within=0.5, epochs=epochs) for e in range(epochs)]


def _torch_rates(kind: str, epochs: int, lr: float) -> list[float]:
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler: LRScheduler = (
        MultiStepLR(sgd, [5, 8], 0.1) if kind == "multistep" else CosineAnnealingLR(sgd, 20)
    )
    rates = []
    for _ in range(epochs):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return rates


def test_multistep_is_torchs() -> None:
    ours = _rates(ScheduleSettings("multistep", milestones=(5, 8)), 12, 0.01)
    assert ours == pytest.approx(_torch_rates("multistep", 12, 0.01), rel=1e-12)


def test_cosine_with_t_max_is_torchs() -> None:
    ours = _rates(ScheduleSettings("cosine", t_max=20), 12, 0.01)
    assert ours == pytest.approx(_torch_rates("cosine", 12, 0.01), rel=1e-9)


def test_constant() -> None:
    assert _rates(ScheduleSettings(), 3, 0.3) == [0.3] * 3


def test_cosine_per_step_ends_at_its_final_share() -> None:
    schedule = ScheduleSettings("cosine", per="step", final=0.1)
    assert learning_rate(schedule, 2.0, epoch=0, within=0, epochs=4) == 2.0
    assert learning_rate(schedule, 2.0, epoch=2, within=0, epochs=4) == pytest.approx(1.1)
    assert learning_rate(schedule, 2.0, epoch=3, within=0.9999, epochs=4) == pytest.approx(
        0.2, abs=1e-6
    )
    # Beyond the end it stays there and does not rise again.
    assert learning_rate(schedule, 2.0, epoch=9, within=0, epochs=4) == pytest.approx(0.2)


def test_warm_up_as_supcontrast_computes_it() -> None:
    lr, epochs, steps = 0.5, 200, 98
    schedule = ScheduleSettings(
        "warmup-cosine", warmup_epochs=10, warmup_from=0.01, final=1e-3, per="epoch"
    )
    low = lr * 1e-3
    warmup_to = low + (lr - low) * (1 + math.cos(math.pi * 10 / epochs)) / 2
    for epoch, batch in [(0, 0), (3, 50), (9, 97)]:
        share = (batch + epoch * steps) / (10 * steps)
        expected = 0.01 + share * (warmup_to - 0.01)
        got = learning_rate(schedule, lr, epoch=epoch, within=batch / steps, epochs=epochs)
        assert got == pytest.approx(expected)
    for epoch in (10, 100, 199):
        expected = low + (lr - low) * (1 + math.cos(math.pi * epoch / epochs)) / 2
        got = learning_rate(schedule, lr, epoch=epoch, within=0.7, epochs=epochs)
        assert got == pytest.approx(expected)
