"""Is there evidence of poisoning at all? alpha_p always flags its share, poisoned set or not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

YES, NO, UNCLEAR = "yes", "no", "unclear"

MIN_CLASS_SAMPLES = 20
"""A class with fewer samples is not looked at: its two groups would be noise."""

MAX_UPPER_SHARE = 0.75
"""A class most of which lies in its upper group has a tail of easy samples, not of poison."""


@dataclass(frozen=True)
class VerdictThresholds:
    """Where evidence begins; found on clean and poisoned sets (docs has the table).

    Args:
        separation_yes: separation inside a class from which there is evidence.
        separation_no: separation below which there is none.
        concentration: share of D_p in its commonest class, as a multiple of that class's share of
            the data, from which D_p counts as gathered.
    """

    separation_yes: float = 3.5
    separation_no: float = 3.2
    concentration: float = 3.0


@dataclass(frozen=True)
class Evidence:
    """What the scores of one moment show, before it is judged.

    Args:
        separation: separation of two score groups inside the class that D_p gathers in; where D_p
            does not gather, the median over classes (all2all splits every class).
        concentration: share of D_p in its commonest class over that class's share of the data.
        share: share of D_p in its commonest class.
        commonest: that class; -1 when nothing is flagged.
        gathered: concentration reaches the threshold.
        class_separation: separation of every class; None where it has too few samples.
    """

    separation: float
    concentration: float
    share: float
    commonest: int
    gathered: bool
    class_separation: tuple[float | None, ...]


@dataclass(frozen=True)
class Verdict:
    """What the scores say about the whole set.

    Args:
        evidence: "yes", "no" or "unclear".
        reasons: one sentence each, for a person.
        suspected_target: class that flagged samples are labelled with, or None.
        separation: see :class:`Evidence`.
        concentration: see :class:`Evidence`.
        class_separation: see :class:`Evidence`.
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


def weigh(
    fct: Tensor,
    labels: Tensor,
    flagged: Tensor,
    num_classes: int,
    thresholds: VerdictThresholds | None = None,
) -> Evidence:
    """Measure how much the scores look like those of a poisoned set.

    A backdoor makes two groups of scores inside the class it targets: the poisoned samples, which
    a transformation throws to another cluster, and the clean ones. The statistic is the separation
    of two groups of log-scores (see :func:`two_groups`) inside the class that D_p gathers in.

    Args:
        fct: floating [N].
        labels: int64 [N], as given with the data.
        flagged: bool [N], True for D_p.
        num_classes: C.
        thresholds: default :class:`VerdictThresholds`.

    Returns:
        The measurements.
    """
    limits = thresholds or VerdictThresholds()
    logs = fct.double().clamp_min(torch.finfo(torch.float64).tiny).log()
    separations: list[float | None] = []
    for number in range(num_classes):
        members = logs[labels == number]
        if members.numel() < MIN_CLASS_SAMPLES:
            separations.append(None)
            continue
        separation, upper = two_groups(members)
        separations.append(separation if upper <= MAX_UPPER_SHARE else 0.0)
    counts = torch.bincount(labels[flagged], minlength=num_classes)
    total = int(counts.sum())
    commonest = int(counts.argmax()) if total else -1
    share = int(counts.max()) / total if total else 0.0
    prior = float((labels == commonest).double().mean()) if total else 1.0
    concentration = share / prior
    gathered = concentration >= limits.concentration
    known = sorted(s for s in separations if s is not None)
    if gathered and separations[commonest] is not None:
        separation = separations[commonest] or 0.0
    else:
        separation = known[len(known) // 2] if known else 0.0
    return Evidence(separation, concentration, share, commonest, gathered, tuple(separations))


def verdict(
    fct: Tensor,
    labels: Tensor,
    flagged: Tensor,
    num_classes: int,
    thresholds: VerdictThresholds | None = None,
) -> Verdict:
    """Judge whether a set shows poisoning, from the scores and the classes of flagged samples.

    First version: its false-alarm rate on clean sets is measured in a later issue.

    Args:
        fct: floating [N].
        labels: int64 [N], as given with the data.
        flagged: bool [N], True for D_p.
        num_classes: C.
        thresholds: default :class:`VerdictThresholds`.

    Returns:
        The verdict with its reasons.

    Source: DESIGN section 4, "A clean data set has no poison".
    """
    return judge(weigh(fct, labels, flagged, num_classes, thresholds), thresholds)


def judge(seen: Evidence, thresholds: VerdictThresholds | None = None) -> Verdict:
    """Turn measurements into a verdict.

    Args:
        seen: from :func:`weigh`.
        thresholds: default :class:`VerdictThresholds`.
    """
    limits = thresholds or VerdictThresholds()
    where = f"of class {seen.commonest}" if seen.gathered else "of the middle class"
    reasons = (
        f"{seen.share:.0%} of the flagged samples are labelled {seen.commonest}, "
        f"{seen.concentration:.1f} times that class's share of the data (gathered from "
        f"{limits.concentration:.1f})",
        f"the scores {where} form two groups {seen.separation:.2f} deviations apart (a single "
        f"group shows 2.65; evidence from {limits.separation_yes:.2f}, none below "
        f"{limits.separation_no:.2f})",
    )
    if seen.separation >= limits.separation_yes:
        evidence = YES
    else:
        evidence = NO if seen.separation < limits.separation_no else UNCLEAR
    return Verdict(
        evidence=evidence,
        reasons=reasons,
        suspected_target=seen.commonest if seen.gathered and evidence != NO else None,
        separation=seen.separation,
        concentration=seen.concentration,
        class_separation=seen.class_separation,
    )
