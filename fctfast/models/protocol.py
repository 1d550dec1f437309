"""What the other rooms ask of a network: penultimate features and the head that reads them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class FeatureModel(Protocol):
    """A classifier cut in two at its pooled penultimate layer.

    ``forward(x)`` equals ``classify(features(x))``. FCT (Eq. 1) and ``l_intra`` (Eq. 8) read
    ``features``; cross-entropy, unlearning and relearning read the logits.

    Source: paper section 3.2 and appendix H (features are the penultimate layer's output).
    """

    def features(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to pooled features ``[B, D]``."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits ``[B, num_classes]``."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to logits ``[B, num_classes]``."""
        ...
