"""Split a set by FCT: the lowest alpha_c are taken as clean, the highest alpha_p as poisoned."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

CLEAN, UNCERTAIN, POISONED = "clean", "uncertain", "poisoned"

ALPHA_C, ALPHA_P = 0.2, 0.05
"""The paper's shares (section 4.1)."""


@dataclass(frozen=True)
class Split:
    """D_c, D_u and D_p, by sample id.

    Args:
        clean: int64 ids of D_c, ascending score.
        uncertain: int64 ids of D_u, ascending score.
        poisoned: int64 ids of D_p, ascending score: the most suspicious sample is the last.
        gamma_c: highest score in D_c; None when D_c is empty.
        gamma_p: lowest score in D_p; None when D_p is empty. Where suspected samples fill D_p,
            others may score higher.
        alpha_c: share asked for D_c.
        alpha_p: share asked for D_p.

    Source: paper, Algorithm 1.
    """

    clean: Tensor
    uncertain: Tensor
    poisoned: Tensor
    gamma_c: float | None
    gamma_p: float | None
    alpha_c: float
    alpha_p: float

    def part_of(self, ids: Tensor) -> list[str]:
        """Name the part each sample fell into.

        Args:
            ids: int64 [M].

        Returns:
            M strings: "clean", "uncertain" or "poisoned".

        Raises:
            ValueError: an id that was not split.
        """
        names = {int(i): CLEAN for i in self.clean.tolist()}
        names.update({int(i): UNCERTAIN for i in self.uncertain.tolist()})
        names.update({int(i): POISONED for i in self.poisoned.tolist()})
        missing = [i for i in ids.tolist() if i not in names]
        if missing:
            raise ValueError(f"part_of: ids were not part of this split, e.g. {missing[:5]}")
        return [names[i] for i in ids.tolist()]

    def summary(self) -> dict[str, Any]:
        """Counts, shares and thresholds, ready for JSON."""
        return {
            "alpha_c": self.alpha_c,
            "alpha_p": self.alpha_p,
            "gamma_c": self.gamma_c,
            "gamma_p": self.gamma_p,
            "clean": self.clean.numel(),
            "uncertain": self.uncertain.numel(),
            "poisoned": self.poisoned.numel(),
        }


def split_scores(
    ids: Tensor,
    fct: Tensor,
    *,
    suspected: Tensor | None = None,
    alpha_c: float = ALPHA_C,
    alpha_p: float = ALPHA_P,
) -> Split:
    """Split by exact counts on the order (suspected, score, id).

    The published code draws the transformation again between choosing thresholds and splitting,
    and so gets other counts than it asked for; here ties are broken by id and the counts are
    floor(alpha * N) computed in exact arithmetic, so the same scores always give the same split,
    whatever the order they arrive in.

    Args:
        ids: int64 [N], distinct.
        fct: floating [N], finite.
        suspected: bool [N]; those samples come after all others, in the order of their scores.
            Default: none is, and the order is (score, id).
        alpha_c: share taken as clean, in [0, 1], default .2.
        alpha_p: share taken as poisoned, in [0, 1], default .05.

    Returns:
        The three parts and both thresholds.

    Raises:
        TypeError: ids are not int64 or scores not floating point.
        ValueError: shapes differ, ids repeat, a score is not finite, an alpha is outside [0, 1],
            the alphas sum above 1, or there are fewer than 1/alpha samples.

    Source: paper, Algorithm 1, lines 7 to 17; the geometric mean of draws: docs/method.md, "The SD
        module".
    """
    _check(ids, fct, alpha_c, alpha_p)
    if suspected is None:
        suspected = torch.zeros_like(ids, dtype=torch.bool)
    if suspected.dtype != torch.bool or suspected.shape != ids.shape:
        raise ValueError(
            f"split: expected suspected bool {list(ids.shape)}, got {suspected.dtype} "
            f"{list(suspected.shape)}"
        )
    count_c = _count("alpha_c", alpha_c, ids.numel())
    count_p = _count("alpha_p", alpha_p, ids.numel())
    by_id = torch.argsort(ids)
    # Stable: equal scores keep the order of their ids, and suspected ones that of their scores.
    order = by_id[torch.sort(fct[by_id], stable=True).indices]
    order = order[torch.sort(suspected[order].to(torch.int8), stable=True).indices]
    ids, fct = ids[order], fct[order]
    first_p = ids.numel() - count_p
    return Split(
        clean=ids[:count_c].clone(),
        uncertain=ids[count_c:first_p].clone(),
        poisoned=ids[first_p:].clone(),
        gamma_c=float(fct[:count_c].max()) if count_c else None,
        gamma_p=float(fct[first_p:].min()) if count_p else None,
        alpha_c=alpha_c,
        alpha_p=alpha_p,
    )


def check_alphas(alpha_c: float, alpha_p: float) -> None:
    """Refuse shares that no split can have, before hours of training are spent.

    Args:
        alpha_c: share taken as clean.
        alpha_p: share taken as poisoned.

    Raises:
        ValueError: a share outside [0, 1], or both sum above 1.
    """
    for name, alpha in (("alpha_c", alpha_c), ("alpha_p", alpha_p)):
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"split: expected {name} in [0, 1], got {alpha}")
    if Fraction(repr(float(alpha_c))) + Fraction(repr(float(alpha_p))) > 1:
        raise ValueError(
            f"split: alpha_c + alpha_p must not exceed 1, got {alpha_c} + {alpha_p}; "
            "a sample cannot be both clean and poisoned"
        )


def _count(name: str, alpha: float, samples: int) -> int:
    # repr -> Fraction: .29 * 100 is 28.999... in binary, and the user wrote 29 %.
    share = Fraction(repr(float(alpha)))
    count = int(share * samples)
    if share > 0 and count == 0:
        needed = -(-share.denominator // share.numerator)
        raise ValueError(
            f"split: {name}={alpha} of {samples} samples is less than one sample; "
            f"expected at least {needed} samples (1/alpha) or a larger {name}"
        )
    return count


def _check(ids: Tensor, fct: Tensor, alpha_c: float, alpha_p: float) -> None:
    check_alphas(alpha_c, alpha_p)
    if ids.dtype != torch.int64:
        raise TypeError(f"split: expected ids of dtype int64, got {ids.dtype}")
    if not fct.is_floating_point():
        raise TypeError(f"split: expected floating-point scores, got {fct.dtype}")
    if ids.dim() != 1 or ids.shape != fct.shape:
        raise ValueError(
            f"split: expected ids and scores of one shape [N], got {list(ids.shape)} and "
            f"{list(fct.shape)}"
        )
    if torch.unique(ids).numel() != ids.numel():
        raise ValueError("split: ids must be distinct; the same sample was scored twice")
    bad = ~torch.isfinite(fct)
    if bad.any():
        raise ValueError(
            f"split: {int(bad.sum())} of {fct.numel()} scores are not finite (first id "
            f"{int(ids[bad][0])}); the model that made them has diverged or divides by zero"
        )
