"""alpha_c and alpha_p: given as shares, or "auto" from what the audit found."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from fctfast.detect.evidence import Evidence, log_scores
from fctfast.detect.rate import PoisonRate
from fctfast.detect.split import ALPHA_C, ALPHA_P, check_alphas

Share: TypeAlias = float | str
AUTO = "auto"

PAPER = (ALPHA_C, ALPHA_P)
"""What "auto" stands for in published mode."""

WITHOUT_EVIDENCE = (ALPHA_C, 0.0)
"""Nobody is flagged where nothing speaks against anybody."""

MAX_IMPURITY = 0.001
MAX_CLEAN = 0.85
"""The lowest scores are not spread over the classes: a fifth of CIFAR-10 held 61 samples of one
class and 836 of another, and a network relearnt on it or on half of the set lost accuracy."""

_STEP = 0.05


def check_shares(alpha_c: Share, alpha_p: Share) -> None:
    """Refuse shares that no split can have.

    Args:
        alpha_c: share in [0, 1], or "auto".
        alpha_p: likewise.

    Raises:
        ValueError: another word, a share outside [0, 1], or both sum above 1.
    """
    for name, alpha in (("alpha_c", alpha_c), ("alpha_p", alpha_p)):
        if isinstance(alpha, str) and alpha != AUTO:
            raise ValueError(f"{name}: expected a share in [0, 1] or 'auto', got {alpha!r}")
    check_alphas(_or_zero(alpha_c), _or_zero(alpha_p))


def auto_shares(
    fct: Tensor, labels: Tensor, suspected: Tensor, evidence: Evidence, rate: PoisonRate | None
) -> tuple[float, float]:
    """What "auto" stands for in a robust audit.

    alpha_p is the lower end of the rate's interval: what is flagged is then poison as far as one
    can tell. alpha_c is the largest multiple of .05 up to .85 whose samples are expected to hold at
    most .1 % poison, by the posteriors of the two groups of each suspected class; 0 if none does.

    Args:
        fct: floating [N], the scores that gave the evidence.
        labels: int64 [N].
        suspected: bool [N]; suspected samples come last in the order.
        evidence: of those scores.
        rate: estimated share of poison, or None without evidence.

    Returns:
        (alpha_c, alpha_p).
    """
    if rate is None:
        return WITHOUT_EVIDENCE
    return _clean_share(fct, labels, suspected, evidence), rate.low


def resolve_shares(
    alpha_c: Share, alpha_p: Share, auto: tuple[float, float], samples: int
) -> tuple[float, float]:
    """Put numbers in the place of "auto".

    They are rounded down to hundredths of a percent, make room for a share that is given, and are 0
    where they would be less than one sample.

    Args:
        alpha_c: share or "auto".
        alpha_p: share or "auto".
        auto: what "auto" stands for.
        samples: N.

    Returns:
        (alpha_c, alpha_p), numbers.

    Raises:
        ValueError: given shares that sum above 1.
    """
    flagged, kept = alpha_p, alpha_c
    if isinstance(flagged, str):
        flagged = _cut(auto[1], _or_zero(alpha_c), samples)
    if isinstance(kept, str):
        kept = _cut(auto[0], flagged, samples)
    check_alphas(kept, flagged)
    return kept, flagged


def _clean_share(fct: Tensor, labels: Tensor, suspected: Tensor, evidence: Evidence) -> float:
    logs = log_scores(fct)
    chance = torch.zeros(fct.numel(), dtype=torch.float64)
    for number in torch.unique(labels[suspected]).tolist():
        groups = evidence.classes[number]
        if groups is not None:
            inside = labels == number
            chance[inside] = groups.posterior(logs[inside])
    order = torch.argsort(logs + suspected * (logs.max() - logs.min() + 1.0))
    expected = chance[order].cumsum(0)
    best = 0.0
    for step in range(1, round(MAX_CLEAN / _STEP) + 1):
        count = int(step * _STEP * fct.numel())
        if count and float(expected[count - 1]) <= MAX_IMPURITY * count:
            best = round(step * _STEP, 2)
    return best


def _cut(share: float, other: float, samples: int) -> float:
    """A share that fits beside another one, in hundredths of a percent; 0 for no sample."""
    fits = math.floor(min(share, 1.0 - other) * 1e4 + 1e-6) / 1e4
    return fits if fits * samples >= 1 else 0.0


def _or_zero(alpha: Share) -> float:
    return 0.0 if isinstance(alpha, str) else alpha
