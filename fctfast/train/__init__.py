"""Training: one loop for every loss, keyed augmentation, checkpoints that resume to the same bits.

A defence describes what it trains as :class:`Stage` objects (data, loss, budget) and hands them to
:func:`fit`; a new loss is a function ``(features, logits, labels) -> scalar``, nothing more.
"""

from __future__ import annotations

from fctfast.train.augment import augment, normalise
from fctfast.train.fit import Diverged, Fitted, PassEnd, fit
from fctfast.train.precision import resolve_device, resolve_precision
from fctfast.train.progress import Progress, make_progress
from fctfast.train.settings import (
    AugmentSettings,
    Budget,
    FitSettings,
    ScheduleSettings,
    SGDSettings,
)
from fctfast.train.stage import Loss, Stage, cross_entropy

__all__ = [
    "AugmentSettings",
    "Budget",
    "Diverged",
    "FitSettings",
    "Fitted",
    "Loss",
    "PassEnd",
    "Progress",
    "SGDSettings",
    "ScheduleSettings",
    "Stage",
    "augment",
    "cross_entropy",
    "fit",
    "make_progress",
    "normalise",
    "resolve_device",
    "resolve_precision",
]
