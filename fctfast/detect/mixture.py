"""One group of scores or two: a mixture of two Gaussians against a single one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fctfast.detect.em import fit_two

MIN_SAMPLES = 40
MIN_GROUP = 20
"""A group of fewer samples is noise at the edge of the other."""

FENCE = 6.0
"""In deviations from the median, each side measured by its own half of the values."""

CUTS = (0.5, 0.75, 0.9, 0.97)
"""Where the fit starts: the values below and above each of these quantiles as the two groups."""


@dataclass(frozen=True)
class TwoGroups:
    """Two Gaussian groups fitted to values; the upper one has the larger mean.

    Args:
        means: of the lower and the upper group.
        deviations: standard deviations, likewise.
        upper_share: share of the values in the upper group.
        gain: by how many nats in all the two groups describe the values better than one Gaussian.
        samples: number of values, without those set aside.
        min_group: a group of fewer values does not count.
    """

    means: tuple[float, float]
    deviations: tuple[float, float]
    upper_share: float
    gain: float
    samples: int
    min_group: int = MIN_GROUP

    @property
    def separation(self) -> float:
        """Distance of the means over the root mean square of the deviations (Ashman's D).

        0 where one group is enough: the three further parameters are not paid for by the gain
        (BIC), or a group is too small.
        """
        smaller = min(self.upper_share, 1 - self.upper_share) * self.samples
        if smaller < self.min_group or self.gain <= 1.5 * math.log(self.samples):
            return 0.0
        low, high = self.deviations
        return (self.means[1] - self.means[0]) / math.sqrt((low * low + high * high) / 2)

    def posterior(self, values: Tensor) -> Tensor:
        """Probability that a value belongs to the upper group; never falls as the value rises.

        Args:
            values: float64 [N].

        Returns:
            float64 [N]. Outside the two means it stays what it is there: the wider group would
            otherwise win both ends.
        """
        x = values.double().clamp(*self.means)
        share = min(max(self.upper_share, 1e-12), 1 - 1e-12)
        logits = math.log(share) - math.log1p(-share)
        (m0, m1), (s0, s1) = self.means, self.deviations
        odds = ((x - m0) / s0).square() / 2 - ((x - m1) / s1).square() / 2
        return torch.sigmoid(odds + logits + math.log(s0 / s1))


def two_groups(values: Tensor, min_group: int = MIN_GROUP) -> TwoGroups | None:
    """Fit two Gaussian groups, and one, to values; see :func:`groups_of_each`."""
    return groups_of_each([values], min_group)[0]


def groups_of_each(columns: Sequence[Tensor], min_group: int = MIN_GROUP) -> list[TwoGroups | None]:
    """Fit two Gaussian groups, and one, to the values of each column.

    Fewer than `min_group` values beyond a fence on either side are set aside: a single value far
    off would use up the second Gaussian, or widen the first, and hide a group that matters.

    Args:
        columns: floating [N_i] each, finite.
        min_group: smallest group that counts, default MIN_GROUP.

    Returns:
        For each the likeliest of the fits from several starts; None for fewer than MIN_SAMPLES
        values or values that are all equal.

    Source: Ashman, Bird and Zepf, AJ 1994 (the separation); Dempster, Laird and Rubin 1977 (EM).
    """
    found: list[TwoGroups | None] = [None] * len(columns)
    rows, scales = [], []
    for number, values in enumerate(columns):
        x = _inside_fences(values.double().numpy(), min_group)
        centre, width = (float(x.mean()), float(x.std())) if x.size else (0.0, 0.0)
        if x.size >= MIN_SAMPLES and width > 0:
            rows.append((x - centre) / width)
            scales.append((number, centre, width))
    single = -0.5 * (math.log(2 * math.pi) + 1)  # log-likelihood a value of the standard normal
    for (number, centre, width), z, fit in zip(scales, rows, fit_two(rows, CUTS), strict=True):
        if fit is None:
            continue
        low, high = np.argsort(fit.means, kind="stable")
        found[number] = TwoGroups(
            means=(fit.means[low] * width + centre, fit.means[high] * width + centre),
            deviations=(fit.deviations[low] * width, fit.deviations[high] * width),
            upper_share=fit.weights[high],
            gain=(fit.log_likelihood - single) * z.size,
            samples=z.size,
            min_group=min_group,
        )
    return found


def _inside_fences(x: np.ndarray, min_group: int) -> np.ndarray:
    """Drop values beyond the fence of their side, unless they are as many as a group."""
    middle = float(np.median(x)) if x.size else 0.0
    kept = np.ones(x.size, dtype=bool)
    for side in (middle - x, x - middle):
        half = side[side > 0]
        # The median of a half Gaussian is .6745 deviations.
        far = side > (FENCE * float(np.median(half)) / 0.6745 if half.size else np.inf)
        if 0 < far.sum() < min_group:
            kept &= ~far
    return x[kept]
