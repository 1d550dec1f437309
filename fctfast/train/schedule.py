"""The learning rate at a point of the run: a pure function, so that resuming needs no state."""

from __future__ import annotations

import math

from fctfast.train.settings import ScheduleSettings


def learning_rate(
    schedule: ScheduleSettings, lr: float, *, epoch: float, within: float, epochs: float
) -> float:
    """Compute the learning rate of one step.

    Args:
        schedule: how it moves.
        lr: learning rate of the optimiser settings.
        epoch: passes finished; a cut pass counts as the share it was.
        within: share of the present pass that is finished, in [0, 1).
        epochs: length of the run in passes.

    Returns:
        The learning rate of the next step.

    Source: published code; SupContrast for the warm-up.
    """
    if schedule.name == "constant":
        return lr
    if schedule.name == "multistep":
        passed = sum(milestone <= epoch for milestone in schedule.milestones)
        return float(lr * schedule.gamma**passed)
    length = epochs if schedule.t_max is None else schedule.t_max
    position = epoch + within
    if schedule.name == "warmup-cosine" and position < schedule.warmup_epochs:
        reached = _cosine(lr, schedule.final, schedule.warmup_epochs / length)
        share = position / schedule.warmup_epochs
        return schedule.warmup_from + share * (reached - schedule.warmup_from)
    return _cosine(lr, schedule.final, (position if schedule.per == "step" else epoch) / length)


def _cosine(lr: float, final: float, share: float) -> float:
    low = lr * final
    return low + (lr - low) * (1.0 + math.cos(math.pi * min(share, 1.0))) / 2.0
