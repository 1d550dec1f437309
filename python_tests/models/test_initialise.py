"""Initial weights: the published distributions, one generator a tensor."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fctfast.models import create_model
from fctfast.models.initialise import initialise


def test_convolutions_are_kaiming_normal_over_fan_out() -> None:
    weight = create_model("resnet18", num_classes=10, width=64).layer4[1].conv2.weight
    expected = math.sqrt(2.0 / (512 * 9))
    # 2.4 million draws: the standard error of the deviation is .05 %.
    assert weight.std().item() == pytest.approx(expected, rel=0.005)
    assert weight.mean().abs().item() < expected / 200


def test_normalisations_start_neutral() -> None:
    norm = create_model("resnet18", num_classes=10, width=8).bn1
    assert norm.weight.eq(1).all()
    assert norm.bias.eq(0).all()
    assert norm.running_mean.eq(0).all()
    assert norm.running_var.eq(1).all()
    assert int(norm.num_batches_tracked) == 0


def test_another_head_leaves_the_body_as_it_is() -> None:
    ten = create_model("resnet18", num_classes=10, width=8).state_dict()
    twenty = create_model("resnet18", num_classes=20, width=8).state_dict()
    body = [name for name in ten if not name.startswith("fc.")]
    assert all(torch.equal(ten[name], twenty[name]) for name in body)


def test_a_layer_without_a_rule_is_named() -> None:
    with pytest.raises(ValueError, match=r"no rule for the parameters of 1 \(Embedding\)"):
        initialise(nn.Sequential(nn.ReLU(), nn.Embedding(3, 4)), 0)
