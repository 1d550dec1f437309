"""Pretrained weights: another head keeps its own layer, nothing else may differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctfast import io
from fctfast.models import create_model, load_pretrained


def test_a_backbone_with_other_classes_keeps_its_own_head(tmp_path: Path) -> None:
    source = create_model("resnet18", num_classes=7, width=4, seed=1)
    path = tmp_path / "backbone.safetensors"
    io.write_tensors(path, source.state_dict(), {})
    model = create_model("resnet18", num_classes=3, width=4, seed=2)
    head = model.fc.weight.clone()
    load_pretrained(model, path, name="resnet18")
    assert torch.equal(model.conv1.weight, source.conv1.weight)
    assert torch.equal(model.fc.weight, head)


def test_a_backbone_of_another_width_is_refused(tmp_path: Path) -> None:
    source = create_model("resnet18", num_classes=3, width=8)
    path = tmp_path / "backbone.safetensors"
    io.write_tensors(path, source.state_dict(), {})
    with pytest.raises(ValueError, match="of another shape"):
        load_pretrained(create_model("resnet18", num_classes=3, width=4), path, name="resnet18")


def test_a_name_torchvision_does_not_know_is_refused() -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    with pytest.raises(ValueError, match="torchvision has no weights for 'mine'"):
        load_pretrained(model, "imagenet", name="mine")
