from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fctfast import attacks
from fctfast.data import ImageSet
from fctfast.report import evaluate

MEAN, STD = (0.0,), (1.0,)


class Backdoored(nn.Module):
    """Reads the class from the first pixel; a white last pixel makes it say 0."""

    def forward(self, x: Tensor) -> Tensor:
        classes = (x[:, 0, 0, 0] * 255).round().long()
        classes[x[:, 0, -1, -1] == 1.0] = 0
        return nn.functional.one_hot(classes, 4).float()


def labelled(labels: Tensor, shown: Tensor) -> ImageSet:
    """Grey images that show a class number in the first pixel."""
    images = torch.zeros(len(labels), 8, 8, 1, dtype=torch.uint8)
    images[:, 0, 0, 0] = shown.to(torch.uint8)
    return ImageSet(
        ids=torch.arange(len(labels)),
        images=images,
        labels=labels,
        class_names=("a", "b", "c", "d"),
    )


def test_a_backdoored_model() -> None:
    labels = torch.arange(40) % 4
    shown = labels.clone()
    shown[:10] = 3  # of labels 0 1 2 3 0 1 2 3 0 1: two are right, three wrong ones are of class 0
    data = labelled(labels, shown)
    attack = attacks.get("badnets-all2one")
    result = evaluate(Backdoored(), data, attack, 0, mean=MEAN, std=STD)
    assert result == {
        "acc": 32 / 40,
        "acc_non_target": 25 / 30,
        "asr": 1.0,
        "triggered_true_acc": 0.0,
        "test_samples": 40,
        "triggered_samples": 30,
    }


def test_target_samples_do_not_count_as_success() -> None:
    """A model that ignores the trigger is right about class 0: that is not an attack."""

    class Honest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot((x[:, 0, 0, 0] * 255).round().long(), 4).float()

    labels = torch.arange(40) % 4
    attack = attacks.get("badnets-all2one")
    result = evaluate(Honest(), labelled(labels, labels), attack, 0, mean=MEAN, std=STD)
    assert result["asr"] == 0.0
    assert result["triggered_true_acc"] == 1.0


def test_all2all_wants_the_next_label() -> None:
    class Next(type(attacks.get("badnets-all2one"))):  # type: ignore[misc]
        kind = "all2all"

    class Shift(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            classes = (x[:, 0, 0, 0] * 255).round().long() + (x[:, 0, -1, -1] == 1.0).long()
            return nn.functional.one_hot(classes % 4, 4).float()

    labels = torch.arange(40) % 4
    result = evaluate(Shift(), labelled(labels, labels), Next(), 0, mean=MEAN, std=STD)
    assert result["asr"] == 1.0
    assert result["triggered_samples"] == 40
    assert result["acc_non_target"] is None


def test_without_an_attack_only_accuracy_is_told() -> None:
    labels = torch.arange(8) % 4
    result = evaluate(Backdoored(), labelled(labels, labels), mean=MEAN, std=STD)
    assert result == {"acc": 1.0, "test_samples": 8}


def test_an_empty_test_set_is_an_error() -> None:
    empty = labelled(torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    with pytest.raises(ValueError, match="got an empty set"):
        evaluate(Backdoored(), empty, mean=MEAN, std=STD)
