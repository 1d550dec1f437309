"""Any classifier behind the feature protocol: torchvision, timm, or the user's own module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class FeatureAdapter(nn.Module):
    """A wrapped module with ``features`` and ``classify``; made by :func:`as_feature_model`.

    Args:
        module: the wrapped network.
        extract: maps float ``[B, C, H, W]`` to whatever the network calls its features.
        head: maps features ``[B, D]`` to logits, or None when the network has no such part.
    """

    def __init__(
        self,
        module: nn.Module,
        extract: Callable[[Tensor], Any],
        head: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__()
        self.module = module
        self._extract = extract
        self._head = head

    def features(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to pooled features ``[B, D]``."""
        return pooled(self._extract(x), len(x), type(self.module).__name__)

    def classify(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits ``[B, num_classes]``."""
        if self._head is None:
            raise ValueError(
                f"{type(self.module).__name__} gives features but no head that reads them, so it "
                "can be scored but not trained here; add a method classify(features) -> logits"
            )
        return self._head(features)

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to logits ``[B, num_classes]``."""
        logits: Tensor = self.module(x)
        return logits


def as_feature_model(module: nn.Module, *, feature_layer: str | None = None) -> nn.Module:
    """Give a classifier the two methods ``features`` and ``classify``.

    Tried in this order: ``feature_layer``; methods ``features`` and ``classify`` (the module is
    returned as it is); a method ``features`` alone; timm's ``forward_features`` and
    ``forward_head(pre_logits=True)``; the input of the last linear layer (torchvision's families).

    Args:
        module: the network. It is wrapped, not copied.
        feature_layer: dotted name of a submodule. A linear layer means its input; any other layer
            means its output, averaged over space if it is a map ``[B, D, h, w]``.

    Returns:
        ``module`` itself or a :class:`FeatureAdapter` around it.

    Raises:
        TypeError: ``module`` is not a torch module.
        ValueError: no features can be found, or ``feature_layer`` does not exist.

    Example:
        >>> from torchvision.models import resnet50
        >>> as_feature_model(resnet50()).features(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2048])
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"as_feature_model: expected a torch.nn.Module, got {type(module).__name__}; "
            "load a checkpoint with fctfast.models.load_model first"
        )
    if feature_layer is not None:
        return _from_layer(module, feature_layer)
    features, classify = getattr(module, "features", None), getattr(module, "classify", None)
    # torchvision's VGG and DenseNet have a submodule called `features`: a map, not the features.
    if callable(features) and not isinstance(features, nn.Module):
        if callable(classify):
            return module
        return FeatureAdapter(module, features, None)
    if callable(getattr(module, "forward_head", None)):
        return _from_timm(module)
    linears = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if not linears:
        layers = [name for name, _ in module.named_children()]
        raise ValueError(
            f"as_feature_model: {type(module).__name__} has no method features() and no linear "
            "layer whose input could serve; pass feature_layer=<name of the layer before the "
            f"classifier> (on the command line: --feature-layer). Its parts: {', '.join(layers)}"
        )
    return _from_layer(module, linears[-1])


def pooled(features: Any, batch: int, owner: str) -> Tensor:
    """Bring features to ``[B, D]``, averaging a map ``[B, D, h, w]`` over space.

    Args:
        features: what a network returned.
        batch: rows expected.
        owner: name for the error.

    Raises:
        ValueError: not a tensor ``[B, D]`` or ``[B, D, h, w]``.
    """
    if isinstance(features, Tensor) and len(features) == batch:
        if features.ndim == 4:
            return features.mean(dim=(2, 3))
        if features.ndim == 2:
            return features
    shape = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
    raise ValueError(
        f"{owner}: expected features of shape [{batch}, D] or [{batch}, D, h, w], got {shape}; "
        "pass feature_layer=<name of a layer with such an output>"
    )


def _from_timm(module: nn.Module) -> FeatureAdapter:
    network: Any = module

    def extract(x: Tensor) -> Any:
        return network.forward_head(network.forward_features(x), pre_logits=True)

    def head(features: Tensor) -> Tensor:
        logits: Tensor = network.get_classifier()(features)
        return logits

    return FeatureAdapter(module, extract, head)


def _from_layer(module: nn.Module, name: str) -> FeatureAdapter:
    parts = dict(module.named_modules())
    if name not in parts or not name:
        known = [part for part in parts if part]
        raise ValueError(
            f"feature_layer: {type(module).__name__} has no layer {name!r}; "
            f"its layers: {', '.join(known[:40])}{', ...' if len(known) > 40 else ''}"
        )
    layer = parts[name]
    linear = isinstance(layer, nn.Linear)

    def extract(x: Tensor) -> Any:
        caught: list[Any] = []

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            caught.append(inputs[0])

        def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            caught.append(output)

        # Registered for one call only: a lasting hook would keep the last batch alive.
        handle = (
            layer.register_forward_pre_hook(before)
            if linear
            else layer.register_forward_hook(after)
        )
        try:
            module(x)
        finally:
            handle.remove()
        if not caught:
            raise ValueError(
                f"feature_layer: layer {name!r} did not run in the forward pass of "
                f"{type(module).__name__}; pass the name of a layer that does"
            )
        return caught[-1]

    is_last = linear and name == [n for n, p in parts.items() if isinstance(p, nn.Linear)][-1]
    return FeatureAdapter(module, extract, layer if is_last else None)


def without_adapter(model: nn.Module) -> nn.Module:
    """Return the wrapped network of a :class:`FeatureAdapter`, any other module as it is."""
    return model.module if isinstance(model, FeatureAdapter) else model


def feature_dimension(model: nn.Module, x: Tensor) -> int:
    """Measure the width of ``model``'s features on one small batch, in eval mode.

    Args:
        model: a feature model.
        x: float ``[B, C, H, W]``.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            features: Tensor = model.features(x)  # type: ignore[operator]
    finally:
        model.train(training)
    return int(features.shape[1])
