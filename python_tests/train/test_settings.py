"""Settings refuse values that make no sense, by name."""

from __future__ import annotations

from typing import Any

import pytest

from fctfast.train import AugmentSettings, Budget, FitSettings, ScheduleSettings, SGDSettings


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SGDSettings, {"lr": 0.0}, "lr: expected more than 0"),
        (SGDSettings, {"lr": float("nan")}, "lr: expected more than 0"),
        (SGDSettings, {"momentum": 1.0}, "momentum: expected 0 <= momentum < 1"),
        (SGDSettings, {"weight_decay": -1.0}, "weight_decay"),
        (SGDSettings, {"momentum": 0.0, "nesterov": True}, "nesterov: needs a momentum"),
        (SGDSettings, {"clip_norm": 0.0}, "clip_norm: expected more than 0"),
        (ScheduleSettings, {"name": "step"}, "expected one of constant, cosine, multistep"),
        (ScheduleSettings, {"per": "batch"}, "per: expected epoch or step"),
        (ScheduleSettings, {"t_max": 0.0}, "t_max: expected more than 0"),
        (ScheduleSettings, {"name": "multistep"}, "needs at least one"),
        (ScheduleSettings, {"milestones": (5, 3)}, "expected rising epochs"),
        (ScheduleSettings, {"name": "warmup-cosine"}, "warmup_epochs"),
        (AugmentSettings, {"crop": -1}, "crop: expected at least 0"),
        (AugmentSettings, {"rotation": 181.0}, "rotation: expected 0 to 180"),
        (Budget, {"epochs": -1}, "epochs and min_steps of at least 0"),
        (Budget, {"min_steps": 9, "max_steps": 8}, r"max_steps \(8\) is below min_steps \(9\)"),
        (FitSettings, {"batch_size": 1}, "batch_size: expected at least 2"),
        (FitSettings, {"precision": "half"}, "precision: expected one of auto, float32"),
    ],
)
def test_wrong_values_are_named(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**values)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(epochs=2), 20),
        (Budget(epochs=2, min_steps=33), 33),
        (Budget(epochs=2, max_steps=7), 7),
        (Budget(epochs=5, min_steps=10, max_steps=30), 30),
        (Budget(epochs=0), 0),
        (Budget(epochs=0, min_steps=4), 4),
    ],
)
def test_a_budget_counts_steps(budget: Budget, steps: int) -> None:
    assert budget.steps(10) == steps
