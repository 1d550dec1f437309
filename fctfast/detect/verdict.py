"""Is there evidence of poisoning at all? alpha_p always flags its share, poisoned set or not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

YES, NO, UNCLEAR = "yes", "no", "unclear"

MIN_CLASS_SAMPLES = 20
"""A class with fewer samples is not looked at: its valley would be noise."""


@dataclass(frozen=True)
class VerdictThresholds:
    """Where evidence begins; found on clean and poisoned sets (docs/method.md has the table).

    Args:
        separation_yes: separation inside a class from which there is evidence.
        separation_no: separation below which there is none.
        concentration: share of D_p that one class must hold, as a multiple of its share of the
            data, before that class alone is named the target.
    """

    separation_yes: float = 4.0
    separation_no: float = 3.2
    concentration: float = 3.0


@dataclass(frozen=True)
class Verdict:
    """What the scores say about the whole set.

    Args:
        evidence: "yes", "no" or "unclear".
        reasons: one sentence each, for a person.
        suspected_target: class that flagged samples are labelled with, or None.
        separation: largest separation of two score groups inside one class.
        concentration: share of D_p in its commonest class over that class's share of the data.
        class_separation: separation of every class; None where it has too few samples.
    """

    evidence: str
    reasons: tuple[str, ...]
    suspected_target: int | None
    separation: float
    concentration: float
    class_separation: tuple[float | None, ...]

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            **asdict(self),
            "reasons": list(self.reasons),
            "class_separation": list(self.class_separation),
        }

    @classmethod
    def from_summary(cls, raw: dict[str, Any]) -> Verdict:
        """Read what :meth:`summary` gave."""
        return cls(
            **{
                **raw,
                "reasons": tuple(raw["reasons"]),
                "class_separation": tuple(raw["class_separation"]),
            }
        )


def two_groups(values: Tensor) -> tuple[float, float]:
    """Cut values in two where the within-group variance is least, and say how far apart they are.

    Args:
        values: float64 [N], N at least 2.

    Returns:
        (separation, share): distance of the group means over the pooled standard deviation within
        the groups (Ashman's D without its constant; about 2.65 for any Gaussian, whatever its
        width), and the share of the upper group. (0, 0) when all values are equal.

    Source: Otsu, IEEE Trans. SMC 1979; Ashman et al., AJ 1994.
    """
    ordered = values.double().sort().values
    n = ordered.numel()
    total, squares = ordered.sum(), ordered.square().sum()
    left = torch.arange(1, n, dtype=torch.float64)
    low = ordered.cumsum(0)[:-1]
    mean_low, mean_high = low / left, (total - low) / (n - left)
    within = squares - left * mean_low.square() - (n - left) * mean_high.square()
    best = int(within.argmin())
    variance = float(within[best].clamp_min(0.0)) / n
    gap = float(mean_high[best] - mean_low[best])
    if gap <= 0.0:
        return 0.0, 0.0
    return gap / math.sqrt(variance) if variance > 0 else math.inf, (n - best - 1) / n


def verdict(
    fct: Tensor,
    labels: Tensor,
    flagged: Tensor,
    num_classes: int,
    thresholds: VerdictThresholds | None = None,
) -> Verdict:
    """Judge whether a set shows poisoning, from the scores and the classes of flagged samples.

    A backdoor makes two groups of scores inside the class it targets: the poisoned samples, which
    a transformation throws to another cluster, and the clean ones. The statistic is the largest
    separation of two groups of log-scores inside one class (see :func:`two_groups`); all2all and
    clean-label attacks split classes the same way. Where D_p gathers in one class, that class is
    named as the target. First version: its false-alarm rate on clean sets is a later issue.

    Args:
        fct: floating [N], mean over draws.
        labels: int64 [N], as given with the data.
        flagged: bool [N], True for D_p.
        num_classes: C.
        thresholds: default :class:`VerdictThresholds`.

    Returns:
        The verdict with its reasons.

    Source: DESIGN section 4, "A clean data set has no poison".
    """
    limits = thresholds or VerdictThresholds()
    logs = fct.double().clamp_min(torch.finfo(torch.float64).tiny).log()
    separations: list[float | None] = []
    for number in range(num_classes):
        members = logs[labels == number]
        separations.append(two_groups(members)[0] if members.numel() >= MIN_CLASS_SAMPLES else None)
    known = [(value, number) for number, value in enumerate(separations) if value is not None]
    separation, split_class = max(known, default=(0.0, 0))
    share, commonest = _commonest(labels, flagged, num_classes)
    prior = float((labels == commonest).double().mean()) if labels.numel() else 0.0
    concentration = share / prior if prior > 0 else 0.0
    gathered = concentration >= limits.concentration
    reasons = [
        f"scores of class {split_class} form two groups {separation:.2f} within-group deviations "
        f"apart (evidence from {limits.separation_yes:.2f}, none below {limits.separation_no:.2f})",
        f"{share:.0%} of the flagged samples are labelled {commonest}, which holds {prior:.0%} of "
        "the data",
    ]
    if separation >= limits.separation_yes:
        evidence = YES
    else:
        evidence = NO if separation < limits.separation_no else UNCLEAR
    target = commonest if gathered and evidence != NO else None
    return Verdict(evidence, tuple(reasons), target, separation, concentration, tuple(separations))


def _commonest(labels: Tensor, flagged: Tensor, num_classes: int) -> tuple[float, int]:
    counts = torch.bincount(labels[flagged], minlength=num_classes)
    total = int(counts.sum())
    return (int(counts.max()) / total if total else 0.0), int(counts.argmax()) if total else 0
