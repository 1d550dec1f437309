"""torchvision's and timm's networks by name."""

from __future__ import annotations

import pytest
import torch

from fctfast.models import create_model


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("resnet18", 512), ("mobilenet_v3_small", 1024), ("densenet121", 1024), ("vgg11_bn", 4096)],
)
def test_torchvision_families(name: str, dimension: int) -> None:
    model = create_model(f"torchvision:{name}", num_classes=5).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = model.features(x)
        assert features.shape == (2, dimension)
        assert torch.equal(model.classify(features), model(x))


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "mobilenetv3_small_050"])
def test_timm_families(name: str) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    model = create_model(f"timm:{name}", num_classes=5).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = model.features(x)
        assert features.ndim == 2
        torch.testing.assert_close(model.classify(features), model(x))


def test_weights_are_keyed_by_the_seed_and_the_global_generator_comes_back() -> None:
    before = torch.random.get_rng_state()
    a, b, c = (
        create_model("torchvision:resnet18", num_classes=5, seed=seed).state_dict()
        for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["module.conv1.weight"], c["module.conv1.weight"])


def test_unknown_names_and_channels_are_errors() -> None:
    with pytest.raises(ValueError, match="torchvision has no classification model 'resnet17'"):
        create_model("torchvision:resnet17", num_classes=5)
    with pytest.raises(ValueError, match="expected in_channels=3, got 1"):
        create_model("torchvision:resnet18", num_classes=5, in_channels=1)
