"""How much of the set is poisoned: an estimate with an interval, from the two groups of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fctfast.detect.evidence import UNMOVED, Evidence, VerdictThresholds, log_scores
from fctfast.detect.mixture import groups_of_each
from fctfast.seeding import derive_seed
from fctfast.train.progress import Progress, Quiet

RESAMPLES = 40
_TOGETHER = 5
"""Resamples that are fitted at once: copies of a class, which may be large."""
COVERAGE = 0.95


@dataclass(frozen=True)
class PoisonRate:
    """Share of the set that is poisoned.

    Args:
        rate: the estimate, in [0, 1].
        low: lower end of the interval.
        high: upper end.
    """

    rate: float
    low: float
    high: float

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def poison_rate(
    fct: Tensor,
    labels: Tensor,
    chosen: Evidence,
    others: Sequence[Evidence] = (),
    *,
    seed: int = 0,
    thresholds: VerdictThresholds | None = None,
    progress: Progress | None = None,
) -> PoisonRate | None:
    """Estimate the share of poisoned samples from the upper groups of the suspected classes.

    The interval is the union of two: a bootstrap over the samples (how well the two groups are
    known at this moment), and the estimates of the probe's other moments at which the same classes
    are suspected (how far the moment matters, which the bootstrap cannot see).

    Args:
        fct: floating [N], the scores that gave `chosen`.
        labels: int64 [N], as given with the data.
        chosen: evidence of the moment that counts, on the whole set.
        others: evidence of other moments, on the whole set or a sample of each class.
        seed: key of the bootstrap.
        thresholds: default :class:`VerdictThresholds`.
        progress: where to report; default nowhere.

    Returns:
        The estimate, or None without evidence.
    """
    limits = thresholds or VerdictThresholds()
    suspected = chosen.suspected(limits)
    if not suspected:
        return None
    # The groups were fitted to what tau moves: a black image is in neither.
    moved = fct > UNMOVED
    shares = {c: float(((labels == c) & moved).double().mean()) for c in suspected}
    estimate = _total(chosen, shares)
    ends = [estimate]
    ends += [
        _total(other, shares) for other in others if set(suspected) <= set(other.suspected(limits))
    ]
    ends += _bootstrap(fct, labels, shares, seed, progress or Quiet())
    return PoisonRate(estimate, min(ends), max(ends))


def _total(evidence: Evidence, shares: dict[int, float]) -> float:
    groups = {c: evidence.classes[c] for c in shares}
    return sum(share * g.upper_share for c, share in shares.items() if (g := groups[c]) is not None)


def _bootstrap(
    fct: Tensor, labels: Tensor, shares: dict[int, float], seed: int, progress: Progress
) -> list[float]:
    """Both ends of the interval of resampled estimates."""
    logs, moved = log_scores(fct), fct > UNMOVED
    totals = torch.zeros(RESAMPLES, dtype=torch.float64)
    with progress.task("poisoning rate", RESAMPLES * len(shares), unit="fit") as task:
        for number, share in shares.items():
            values = logs[(labels == number) & moved]
            # NumPy promises this stream's bits; torch's generators may change.
            stream = np.random.Generator(np.random.Philox(key=derive_seed(seed, "rate", number)))
            for first in range(0, RESAMPLES, _TOGETHER):
                drawn = [
                    values[torch.from_numpy(stream.integers(0, values.numel(), values.numel()))]
                    for _ in range(min(_TOGETHER, RESAMPLES - first))
                ]
                for k, groups in enumerate(groups_of_each(drawn), first):
                    totals[k] += share * (groups.upper_share if groups is not None else 0.0)
                task.advance(len(drawn))
    tail = (1 - COVERAGE) / 2
    return [float(totals.quantile(tail)), float(totals.quantile(1 - tail))]
