"""The ResNet family: the same function as torchvision's, with a stem for small images."""

from __future__ import annotations

import pytest
import torch
import torchvision

from fctfast.models import FeatureModel, create_model


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_width_64_with_the_imagenet_stem_is_torchvisions_network(name: str) -> None:
    ours = create_model(name, num_classes=7, image_size=96).eval()
    theirs = torchvision.models.get_model(name, num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(("name", "dimension"), [("resnet18", 128), ("resnet50", 512)])
def test_forward_is_classify_of_features(name: str, dimension: int, x: torch.Tensor) -> None:
    model = create_model(name, num_classes=10, width=16).eval()
    assert isinstance(model, FeatureModel)
    with torch.no_grad():
        features = model.features(x)
        assert features.shape == (4, dimension)
        assert torch.equal(model(x), model.classify(features))


def test_the_small_stem_keeps_the_resolution_and_the_imagenet_stem_quarters_it() -> None:
    seen: dict[str, int] = {}
    for stem in ("small", "small-pool", "imagenet"):
        model = create_model("resnet18", num_classes=2, width=4, stem=stem).eval()
        handle = model.layer1.register_forward_hook(
            lambda _m, inputs, _o, stem=stem: seen.update({stem: inputs[0].shape[-1]})
        )
        model(torch.zeros(1, 3, 32, 32))
        handle.remove()
    assert seen == {"small": 32, "small-pool": 16, "imagenet": 8}


def test_the_stem_follows_the_shorter_side() -> None:
    def kernel(size: int | tuple[int, int]) -> tuple[int, ...]:
        model = create_model("resnet18", num_classes=2, width=4, image_size=size)
        return tuple(model.conv1.kernel_size)

    assert kernel(32) == kernel((95, 400)) == (3, 3)
    assert kernel(96) == kernel((96, 400)) == (7, 7)


def test_one_channel_images_are_taken() -> None:
    model = create_model("resnet18", num_classes=3, width=4, in_channels=1).eval()
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
