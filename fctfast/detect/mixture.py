"""One group of scores or two: a mixture of two Gaussians against a single one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

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
    """Fit two Gaussian groups, and one, to values.

    Fewer than `min_group` values beyond a fence on either side are set aside: a single value far
    off would use up the second Gaussian, or widen the first, and hide a group that matters.

    Args:
        values: floating [N], finite.
        min_group: smallest group that counts, default MIN_GROUP.

    Returns:
        The likeliest of the fits from several starts; None for fewer than MIN_SAMPLES values or
        values that are all equal.

    Source: Ashman, Bird and Zepf, AJ 1994 (the separation); Dempster, Laird and Rubin 1977 (EM).
    """
    x = _inside_fences(values.double().numpy(), min_group)
    centre, width = float(x.mean()) if x.size else 0.0, float(x.std()) if x.size else 0.0
    if x.size < MIN_SAMPLES or not width > 0:
        return None
    z = (x - centre) / width
    fits = [fit for cut in CUTS if (fit := _fit(z, float(np.quantile(z, cut)))) is not None]
    if not fits:
        return None
    best = max(fits, key=lambda fit: float(fit.lower_bound_))
    order = np.argsort(best.means_[:, 0])
    means = best.means_[order, 0] * width + centre
    deviations = np.sqrt(best.covariances_[order, 0, 0]) * width
    single = -0.5 * (math.log(2 * math.pi) + 1)  # log-likelihood a value of the standard normal
    return TwoGroups(
        means=(float(means[0]), float(means[1])),
        deviations=(float(deviations[0]), float(deviations[1])),
        upper_share=float(best.weights_[order[1]]),
        gain=float(best.score(z[:, None]) - single) * x.size,
        samples=int(x.size),
        min_group=min_group,
    )


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


def _fit(z: np.ndarray, cut: float) -> GaussianMixture | None:
    below, above = z[z < cut], z[z >= cut]
    if len(below) < 2 or len(above) < 2:
        return None
    spread = np.maximum([below.var(), above.var()], 1e-3)
    mixture = GaussianMixture(
        2,
        weights_init=[len(below) / len(z), len(above) / len(z)],
        means_init=[[below.mean()], [above.mean()]],
        precisions_init=(1 / spread)[:, None, None],
        init_params="random_from_data",  # nothing is drawn: all three are given
        reg_covar=1e-4,  # a group as narrow as a hundredth of the whole is a repeated value
        max_iter=200,
        tol=1e-4,
        random_state=0,
    )
    return mixture.fit(z[:, None])
