"""Quality of a detection against the truth."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast.attacks.truth import Truth
from fctfast.detect import Scores, Split


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative.

    Args:
        scores: float [N]; higher means more suspicious. Equal scores count one half.
        positive: bool [N].

    Returns:
        The area in 0..1, or None when there are no positives or no negatives.

    Raises:
        ValueError: the lengths differ or a score is not a number.
    """
    if scores.shape != positive.shape or scores.ndim != 1:
        raise ValueError(
            f"auroc: expected two vectors of one length, got {list(scores.shape)} and "
            f"{list(positive.shape)}"
        )
    if bool(torch.isnan(scores).any()):
        raise ValueError("auroc: expected scores without NaN; leave quarantined samples out")
    positives = int(positive.sum())
    negatives = len(scores) - positives
    if positives == 0 or negatives == 0:
        return None
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    mean_rank = last - (counts.double() - 1) / 2
    rank_sum = float(mean_rank[inverse[positive]].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def split_quality(scores: Scores, split: Split, truth: Truth) -> dict[str, float | int | None]:
    """How right a split is.

    Args:
        scores: FCT of every scored sample.
        split: of the same scores.
        truth: which samples are poisoned.

    Returns:
        samples and poisoned_samples that were scored; auroc of the order of suspicion and
        fct_auroc of the scores alone; clean_size and clean_precision (share of D_c that is clean);
        poison_size and poison_precision (share of D_p that is poisoned); poison_recall (share of
        all poison that is in D_p). None where the denominator is empty.

    Raises:
        ValueError: a sample is not in the truth.

    Source: FCT paper, section 4.3 and appendix D.2 (clean- and poison-precision).
    """
    poisoned = truth.poisoned_among(scores.ids)
    of_clean = truth.poisoned_among(split.clean)
    of_poison = truth.poisoned_among(split.poisoned)
    hits = int(of_poison.sum())
    return {
        "samples": len(scores),
        "poisoned_samples": int(poisoned.sum()),
        "auroc": auroc(scores.suspicion, poisoned),
        "fct_auroc": auroc(scores.fct, poisoned),
        "clean_size": len(of_clean),
        "clean_precision": _share(int((~of_clean).sum()), len(of_clean)),
        "poison_size": len(of_poison),
        "poison_precision": _share(hits, len(of_poison)),
        "poison_recall": _share(hits, int(poisoned.sum())),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
