"""Did the probe collapse? Checks that use only what the defender has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

ZERO_NORM = 1e-3
"""Features shorter than this share of the mean length count as zero."""

MAX_ZERO_SHARE = 0.05
OVER_CHANCE = 0.5
"""Accuracy begins at chance * (1 + this * (1 - chance)): .145 of ten classes, .625 of two."""
MIN_SPREAD = 1e-6


@dataclass(frozen=True)
class Health:
    """State of a probe at the moment it scores.

    Args:
        zero_norm_share: share of samples whose features are (nearly) zero.
        training_accuracy: share of samples predicted as their given label; None without classifier.
        relative_spread: standard deviation of the scores over their mean.
        reasons: why the probe counts as collapsed; empty when healthy.
    """

    zero_norm_share: float
    training_accuracy: float | None
    relative_spread: float
    reasons: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """True when scores of this probe mean nothing."""
        return bool(self.reasons)

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "reasons": list(self.reasons)}


def check_collapse(
    fct: Tensor, norms: Tensor, predicted: Tensor, labels: Tensor, num_classes: int
) -> Health:
    """Tell a probe that separates samples from one whose features fell together.

    FCT is about 0 for every sample when features vanish or no longer depend on the image; the
    published code then still splits, by noise (open issue 1 of the official repository).

    Args:
        fct: floating [N].
        norms: floating [N], lengths of the features.
        predicted: int64 [N], or empty without a classifier.
        labels: int64 [N].
        num_classes: C; chance is 1/C.

    Returns:
        The measurements and the reasons against the probe.

    Source: docs/method.md, "The SD module" (the guards).
    """
    if not bool(torch.isfinite(fct).all()) or not bool(torch.isfinite(norms).all()):
        return Health(1.0, None, 0.0, ("features or scores are not finite",))
    mean_norm = float(norms.double().mean()) if norms.numel() else 0.0
    zero = float((norms <= ZERO_NORM * mean_norm).double().mean()) if norms.numel() else 1.0
    mean_score = float(fct.double().mean()) if fct.numel() else 0.0
    spread = float(fct.double().std(correction=0)) / mean_score if mean_score > 0 else 0.0
    accuracy = (
        float((predicted == labels).double().mean())
        if predicted.numel() == labels.numel()
        else None
    )
    reasons = []
    if zero > MAX_ZERO_SHARE:
        reasons.append(f"{zero:.0%} of the samples have zero features")
    # One sample alone has no other to differ from.
    if spread < MIN_SPREAD and fct.numel() != 1:
        reasons.append("every sample has the same score")
    chance = 1 / num_classes
    if accuracy is not None and accuracy < chance * (1 + OVER_CHANCE * (1 - chance)):
        reasons.append(f"training accuracy {accuracy:.3f} is no better than chance")
    return Health(zero, accuracy, spread, tuple(reasons))
