"""Training: one loop for every loss, keyed augmentation, checkpoints that resume to the same bits.

A defence describes what it trains as :class:`Stage` objects (data, loss, budget) and hands them to
:func:`fit`; a new loss is a function ``(features, logits, labels) -> scalar``, nothing more.
"""

from __future__ import annotations

from fctfast.train.augment import augment, normalise
from fctfast.train.chunks import backward_in_chunks
from fctfast.train.fit import Fitted, PassEnd, fit
from fctfast.train.inference import predict
from fctfast.train.loop import Diverged
from fctfast.train.precision import resolve_device, resolve_precision
from fctfast.train.progress import Progress, make_progress
from fctfast.train.recipes import (
    DataSettings,
    ModelSettings,
    Recipe,
    SplitSettings,
    load_recipe,
    recipe_names,
)
from fctfast.train.run_folder import RunFolder
from fctfast.train.settings import (
    AugmentSettings,
    Budget,
    FitSettings,
    ScheduleSettings,
    SGDSettings,
    ViewSettings,
)
from fctfast.train.stage import Loss, Stage, cross_entropy

__all__ = [
    "AugmentSettings",
    "Budget",
    "DataSettings",
    "Diverged",
    "FitSettings",
    "Fitted",
    "Loss",
    "ModelSettings",
    "PassEnd",
    "Progress",
    "Recipe",
    "RunFolder",
    "SGDSettings",
    "ScheduleSettings",
    "SplitSettings",
    "Stage",
    "ViewSettings",
    "augment",
    "backward_in_chunks",
    "cross_entropy",
    "fit",
    "load_recipe",
    "make_progress",
    "normalise",
    "predict",
    "recipe_names",
    "resolve_device",
    "resolve_precision",
]
