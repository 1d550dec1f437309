"""Poisoning a training set and triggering a test set."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fctfast.attacks.registry import Attack
from fctfast.attacks.selection import attacked_labels, check_target, select_poison
from fctfast.data import ImageSet
from fctfast.train import Progress

RATE_OF = {
    "all2one": "samples outside the target class",
    "all2all": "all samples",
    "clean-label": "samples of the target class",
}


@dataclass(frozen=True)
class Poisoned:
    """A poisoned training set together with its truth (which is stored apart from it).

    Args:
        image_set: what a victim would be given: images and labels, nothing else.
        poisoned_mask: bool [N], in the order of image_set.
        true_labels: int64 [N], labels before the attack.
        recipe: how to make it again: attack, options, rate, target, seed, source, fingerprint.
        attack: the attack as it was applied, with whatever it has learnt: the one that triggers a
            test set. None for imported samples.
    """

    image_set: ImageSet
    poisoned_mask: Tensor
    true_labels: Tensor
    recipe: dict[str, Any]
    attack: Attack | None = None


@dataclass(frozen=True)
class Triggered:
    """Test images that all carry the trigger.

    Args:
        image_set: the triggered images under the labels the attacker wants.
        true_labels: int64 [N], their true labels.
    """

    image_set: ImageSet
    true_labels: Tensor


def poison(
    image_set: ImageSet,
    attack: Attack,
    *,
    rate: float = 0.1,
    target: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Poisoned:
    """Poison a training set.

    Args:
        image_set: clean set; left as it is.
        attack: from :func:`fctfast.attacks.get`.
        rate: share of the eligible samples, in (0, 1]: of the samples outside the target class
            (all2one), of all samples (all2all), of the target class (clean-label). Default .1.
        target: the target class, default 0.
        seed: chooses the samples, default 0.
        progress: where an attack that trains a network reports; default nowhere.

    Returns:
        The poisoned set, its truth and its recipe. Ids and order are those of image_set.

    Raises:
        TypeError: attack is none (a name, say), or target or seed no whole number.
        ValueError: rate or target out of range, the rate amounts to no sample, or the trigger
            changes no image.

    Source: FCT paper, section 2 and appendix C.3.
    """
    _check_attack(attack, "poison")
    rate, target, seed = float(rate), operator.index(target), operator.index(seed)
    num_classes = image_set.num_classes
    ids, labels = image_set.ids, image_set.labels
    chosen = select_poison(
        labels,
        rate=rate,
        kind=attack.kind,
        target=target,
        num_classes=num_classes,
        seed=seed,
        ids=ids,
    )
    mask = torch.isin(ids, chosen)
    images, new_labels = image_set.images.clone(), labels.clone()
    ready = attack.prepared(image_set, target=target, seed=seed, progress=progress)
    before = images[mask]
    images[mask] = ready.apply(before, train=True)
    _check_changed(images[mask], before, ready, "poison", "so there would be nothing to learn")
    new_labels[mask] = attacked_labels(
        labels[mask], kind=attack.kind, target=target, num_classes=num_classes
    )
    result = image_set.with_images(images, new_labels)
    recipe = {
        "attack": attack.name,
        "options": attack.options(),
        "kind": attack.kind,
        "rate": rate,
        "rate_of": RATE_OF[attack.kind],
        "target": target,
        "seed": seed,
        "poisoned": int(mask.sum()),
        "samples": len(image_set),
        "source": image_set.name,
        "source_fingerprint": image_set.fingerprint(),
        "fingerprint": result.fingerprint(),
    }
    if measured := ready.measured():
        recipe["measured"] = measured
    return Poisoned(result, mask, labels.clone(), recipe, ready)


def trigger_test_set(image_set: ImageSet, attack: Attack, target: int = 0) -> Triggered:
    """Put the test-time trigger on every test image that can show the attack.

    Args:
        image_set: clean test set; left as it is.
        attack: the attack; that of :class:`Poisoned` if it has learnt something.
        target: the target class, default 0.

    Returns:
        The triggered images. Samples whose true class is the target are left out, except for
        all2all: a model that is right about them would count as fooled.

    Raises:
        TypeError: attack is none (a name, say), or target no whole number.
        ValueError: target is not a class, no sample is left, or the trigger changes none.

    Source: FCT paper, section 4.1 (ASR).
    """
    _check_attack(attack, "trigger_test_set")
    target = operator.index(target)
    check_target(target, image_set.num_classes)
    kept = image_set
    if attack.kind != "all2all":
        kept = image_set.select(torch.nonzero(image_set.labels != target).flatten())
    if len(kept) == 0:
        raise ValueError(
            f"trigger_test_set: expected test samples outside the target class {target}, got none "
            f"among {len(image_set)}"
        )
    wanted = attacked_labels(
        kept.labels, kind=attack.kind, target=target, num_classes=kept.num_classes
    )
    triggered = attack.apply(kept.images, train=False)
    _check_changed(triggered, kept.images, attack, "trigger_test_set", "so ASR would say nothing")
    return Triggered(kept.with_images(triggered, wanted), kept.labels.clone())


def _check_attack(attack: object, who: str) -> None:
    if not isinstance(attack, Attack):
        raise TypeError(
            f"{who}: expected an attack, as fctfast.attacks.get(name) makes it, got {attack!r}"
        )


def _check_changed(made: Tensor, before: Tensor, attack: Attack, who: str, why: str) -> None:
    if torch.equal(made, before):
        raise ValueError(
            f"{who}: the trigger of {attack.name} changes none of these {len(before)} images of "
            f"{before.shape[1]}x{before.shape[2]}, {why}; change its options or the images' size"
        )
