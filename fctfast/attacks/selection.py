"""Which samples are poisoned, and which label they get."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast import seeding
from fctfast.attacks.registry import KINDS, Kind


def check_target(target: int, num_classes: int) -> None:
    """Refuse a target that is not a class.

    Raises:
        ValueError: target is outside 0..num_classes - 1, or there is only one class.
    """
    if num_classes < 2:
        raise ValueError(f"attack: expected at least 2 classes, got {num_classes}")
    if not 0 <= target < num_classes:
        raise ValueError(f"attack: expected target in 0..{num_classes - 1}, got {target}")


def check_rate(rate: float) -> None:
    """Refuse a share that is none.

    Raises:
        ValueError: rate is outside (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"poison: expected rate in (0, 1], got {rate}")


def attacked_labels(labels: Tensor, *, kind: Kind, target: int, num_classes: int) -> Tensor:
    """Labels the attacker wants for triggered samples.

    Args:
        labels: int64 [N], true labels.
        kind: "all2one" and "clean-label": the target; "all2all": (y + 1) mod num_classes.
        target: the target class; not used by "all2all".
        num_classes: number of classes.

    Returns:
        int64 [N].

    Raises:
        ValueError: unknown kind or target.

    Source: FCT paper, section 2.
    """
    check_target(target, num_classes)
    if kind not in KINDS:
        raise ValueError(f"attack: expected kind in {KINDS}, got {kind!r}")
    return (labels + 1) % num_classes if kind == "all2all" else torch.full_like(labels, target)


def eligible(labels: Tensor, *, kind: Kind, target: int) -> Tensor:
    """Samples an attack chooses its poison from: what the poisoning rate is a share of.

    Args:
        labels: int64 [N], true labels.
        kind: "all2one": the non-target samples; "all2all": all; "clean-label": the target class.
        target: the target class.

    Returns:
        bool [N].

    Source: FCT paper, appendix C.3.
    """
    if kind == "all2all":
        return torch.ones_like(labels, dtype=torch.bool)
    return labels == target if kind == "clean-label" else labels != target


def select_poison(
    labels: Tensor,
    *,
    rate: float,
    kind: Kind,
    target: int,
    num_classes: int,
    seed: int,
    ids: Tensor | None = None,
) -> Tensor:
    """Choose the samples to poison.

    Args:
        labels: int64 [N], true labels.
        rate: share of the eligible samples (see :func:`eligible`), in (0, 1]; rounded down.
        kind: kind of the attack.
        target: the target class.
        num_classes: number of classes.
        seed: the choice depends on the seed and the set of (id, label) pairs, not on their order.
        ids: int64 [N]; default 0..N-1.

    Returns:
        int64, the chosen ids in ascending order.

    Raises:
        ValueError: rate, kind or target out of range, or the rate amounts to no sample at all.

    Source: FCT paper, appendix C.3 (10 % of 45,000 non-target samples of CIFAR-10 are 4,500).
    """
    check_rate(rate)
    attacked_labels(labels[:0], kind=kind, target=target, num_classes=num_classes)
    ids = torch.arange(len(labels)) if ids is None else ids
    candidates = ids[eligible(labels, kind=kind, target=target)].sort().values
    # .1 * 30 is 2.9999999999999996 for other pairs of numbers too: the margin keeps exact shares.
    count = int(rate * len(candidates) + 1e-6)
    if not len(candidates):
        none = f"class {target}" if kind == "clean-label" else f"classes other than {target}"
        raise ValueError(
            f"poison: expected samples of {none}, which this attack poisons, got none among "
            f"{len(labels)}; choose another target"
        )
    if count == 0:
        raise ValueError(
            f"poison: rate {rate} of {len(candidates)} eligible samples is less than one sample; "
            f"raise the rate or use more images"
        )
    order = seeding.permutation(len(candidates), seed, "poison-selection")
    return candidates[order[:count]].sort().values
