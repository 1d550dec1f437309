"""Anybody's network behind features() and classify()."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fctfast.models import FeatureAdapter, FeatureModel, as_feature_model, create_model
from fctfast.models.adapters import feature_dimension


class Plain(nn.Module):
    """A network as users write them, without any protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.hidden = nn.Linear(24, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.hidden(self.body(x).flatten(1))))
        return logits


class WithFeatures(Plain):
    """A network with a method features() that gives a map."""

    def features(self, x: Tensor) -> Tensor:
        maps: Tensor = self.body(x)
        return maps


def test_our_own_networks_are_returned_as_they_are() -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    assert as_feature_model(model) is model


def test_the_input_of_the_last_linear_layer_serves(x: Tensor) -> None:
    net = Plain()
    model = as_feature_model(net)
    assert isinstance(model, FeatureModel)
    hidden = torch.relu(net.hidden(net.body(x).flatten(1)))
    assert torch.equal(model.features(x), hidden)
    assert torch.equal(model.classify(model.features(x)), net(x))
    assert torch.equal(model(x), net(x))


def test_gradients_reach_the_wrapped_network(x: Tensor) -> None:
    net = Plain()
    model = as_feature_model(net)
    model.classify(model.features(x)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_no_hook_stays_behind(x: Tensor) -> None:
    net = Plain()
    as_feature_model(net).features(x)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())


@pytest.mark.parametrize(("layer", "dimension"), [("hidden", 24), ("body.0", 6), ("head", 12)])
def test_feature_layer_is_the_input_of_a_linear_layer_and_the_output_of_others(
    layer: str, dimension: int, x: Tensor
) -> None:
    model = as_feature_model(Plain(), feature_layer=layer)
    assert feature_dimension(model, x) == dimension


def test_a_map_is_averaged_over_space(x: Tensor) -> None:
    net = WithFeatures()
    model = as_feature_model(net)
    assert torch.equal(model.features(x), net.body(x).mean((2, 3)))
    with pytest.raises(ValueError, match="gives features but no head"):
        model.classify(model.features(x))


def test_without_any_features_the_error_says_what_to_pass() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(ValueError, match=r"no method features.*pass feature_layer=.*0, 1, 2"):
        as_feature_model(net)


def test_an_unknown_layer_lists_the_layers() -> None:
    with pytest.raises(ValueError, match=r"no layer 'neck'; its layers: body, body.0"):
        as_feature_model(Plain(), feature_layer="neck")


def test_features_of_another_shape_are_refused(x: Tensor) -> None:
    net = Plain()
    net.features = lambda x: x.flatten()  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"expected features of shape \[4, D\].*got \[12288\]"):
        as_feature_model(net).features(x)


def test_a_layer_that_does_not_run_is_an_error(x: Tensor) -> None:
    net = Plain()
    net.spare = nn.Conv2d(1, 1, 1)
    with pytest.raises(ValueError, match="layer 'spare' did not run"):
        as_feature_model(net, feature_layer="spare").features(x)


def test_something_else_than_a_module_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"expected a torch.nn.Module, got dict"):
        as_feature_model({})  # type: ignore[arg-type]


def test_an_adapter_is_not_wrapped_twice() -> None:
    model = as_feature_model(Plain())
    assert isinstance(model, FeatureAdapter)
    assert as_feature_model(model) is model
