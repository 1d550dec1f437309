"""What a model does on a test set, with and without the trigger."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fctfast.attacks import Attack, trigger_test_set
from fctfast.data import ImageSet
from fctfast.train.inference import predict


def evaluate(
    model: nn.Module,
    test_set: ImageSet,
    attack: Attack | None = None,
    target: int = 0,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 256,
) -> dict[str, float | int | None]:
    """Accuracy on clean test images and success of the attack.

    Args:
        model: gives logits, see :func:`predict`.
        test_set: clean test images with their true labels.
        attack: the attack to try; None leaves the attack's numbers out.
        target: its target class, default 0.
        mean: one value a channel.
        std: one value a channel.
        batch_size: images a step, default 256.

    Returns:
        Shares in 0..1. ``acc``: clean accuracy over all classes; ``acc_non_target``: without the
        target class (None without an attack or for all2all); ``asr``: triggered images predicted
        as the attacker wants; ``triggered_true_acc``: triggered images predicted as what they
        are. For asr and triggered_true_acc samples of the target class are left out (all2all: none
        is). ``test_samples`` and ``triggered_samples`` say how many were counted.

    Raises:
        ValueError: the test set is empty, has no sample outside the target class, or the trigger
            changes none of its images.

    Source: FCT paper, section 4.1; both readings of ACC, its own and the published code's.
    """
    if len(test_set) == 0:
        raise ValueError("evaluate: expected test images, got an empty set")

    def share(right: Tensor) -> float:
        return float(right.double().mean())

    def classes(images: Tensor) -> Tensor:
        return predict(model, images, mean=mean, std=std, batch_size=batch_size)

    # First, as it may be refused.
    triggered = None if attack is None else trigger_test_set(test_set, attack, target)
    right = classes(test_set.images) == test_set.labels
    result: dict[str, float | int | None] = {"acc": share(right), "test_samples": len(test_set)}
    if attack is None or triggered is None:
        return result
    seen = classes(triggered.image_set.images)
    others = test_set.labels != target
    return result | {
        "acc_non_target": None if attack.kind == "all2all" else share(right[others]),
        "asr": share(seen == triggered.image_set.labels),
        "triggered_true_acc": share(seen == triggered.true_labels),
        "triggered_samples": len(triggered.true_labels),
    }
