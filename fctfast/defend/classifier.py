"""D-ST, stage 2: a classifier on frozen features, by mixed cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.defend.losses import MixedCrossEntropy
from fctfast.models import as_feature_model
from fctfast.train import (
    Budget,
    FitSettings,
    Fitted,
    Loss,
    Progress,
    SGDSettings,
    Stage,
    ViewSettings,
    cross_entropy,
    fit,
    resolve_device,
)

LOSSES = ("mce", "ce")


@dataclass(frozen=True)
class ClassifierSettings:
    """Stage 2 written down; the defaults are the published ones.

    Args:
        loss: "mce", on D_c and D_p (Eq. 3), or "ce", plain cross-entropy on all samples (the
            baselines of Table 1).
        lambda_p: weight of D_p's term.
        budget: passes over the data.
        fit: batch size, SGD, schedule.
        augment: one view of each image; its default is the default of stage 1's two.

    Source: paper section 3.3 and appendix C.5; the published code's numbers.
    """

    loss: str = "mce"
    lambda_p: float = 0.001
    budget: Budget = field(default_factory=lambda: Budget(epochs=10))
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            batch_size=512, sgd=SGDSettings(lr=5.0, weight_decay=0.0)
        )
    )
    augment: ViewSettings = field(default_factory=lambda: ViewSettings(views=1))

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {self.loss!r}")
        if not 0 <= self.lambda_p < math.inf:
            raise ValueError(f"lambda_p: expected at least 0, got {self.lambda_p}")
        if self.augment.views != 1:
            raise ValueError(f"augment: expected one view an image, got views {self.augment.views}")


class Frozen(nn.Module):
    """A feature model of which only the classifier learns; the features stay in eval mode.

    Args:
        network: feature model, changed in place: its features' parameters get no gradient.
        blank: float ``[B, C, H, W]`` of the images' size, which finds the classifier.
    """

    def __init__(self, network: nn.Module, blank: Tensor) -> None:
        super().__init__()
        self.network = network.eval()
        learning = {id(parameter) for parameter in classifier_parameters(network, blank)}
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in learning)

    def train(self, mode: bool = True) -> Frozen:
        """Change nothing but the flag: batch norm must not learn, either."""
        self.training = mode
        self.network.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to features ``[B, D]`` without a gradient."""
        with torch.no_grad():
            made: Tensor = self.network.features(x)  # type: ignore[operator]
        return made

    def classify(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits."""
        made: Tensor = self.network.classify(features)  # type: ignore[operator]
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to logits."""
        return self.classify(self.features(x))


def classifier_parameters(network: nn.Module, blank: Tensor) -> list[nn.Parameter]:
    """Find the parameters that `classify` reads: those that a gradient of its output reaches.

    Args:
        network: feature model in eval mode; what asks for a gradient is left as it was.
        blank: float ``[B, C, H, W]``.
    """
    parameters = list(network.parameters())
    with torch.no_grad():
        features = network.features(blank)  # type: ignore[operator]
    asked = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        logits = network.classify(features)  # type: ignore[operator]
        reached = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    finally:
        for parameter, before in zip(parameters, asked, strict=True):
            parameter.requires_grad_(before)
    return [p for p, slope in zip(parameters, reached, strict=True) if slope is not None]


def train_classifier(
    network: nn.Module,
    data: ImageSet,
    settings: ClassifierSettings,
    poisoned: Tensor | None = None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> Fitted:
    """Train a network's classifier in place; its features stay what they are.

    Args:
        network: a feature model, or any module :func:`~fctfast.models.as_feature_model` accepts.
        data: D_c and D_p together for "mce", the whole set for "ce".
        settings: loss, budget, augmentation.
        poisoned: bool [N], True in D_p; needed for "mce".
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of order and augmentation.
        checkpoint: file to resume from after each pass; default none.
        progress: where to report.
        device: "auto" or a torch device.

    Returns:
        History.

    Raises:
        ValueError: "mce" without poisoned.

    Source: paper Eq. 3 and Algorithm 3, line 3.
    """
    loss: Loss = cross_entropy
    targets = None
    if settings.loss == "mce":
        if poisoned is None:
            raise ValueError("mce: expected poisoned, which samples are in D_p, got None")
        loss = MixedCrossEntropy(data.num_classes, settings.lambda_p)
        targets = data.labels + data.num_classes * poisoned
    model = as_feature_model(network)
    device = resolve_device(device)
    blank = torch.zeros(1, data.channels, *data.image_size, device=device)
    asked = [parameter.requires_grad for parameter in network.parameters()]
    try:
        return fit(
            Frozen(model.to(device), blank),
            Stage("classifier", data, loss, settings.budget, settings.augment, targets),
            settings=settings.fit,
            mean=mean,
            std=std,
            seed=seed,
            checkpoint=checkpoint,
            progress=progress,
            label="classifier",
            device=device,
        )
    finally:
        for parameter, before in zip(network.parameters(), asked, strict=True):
            parameter.requires_grad_(before)
        network.eval()
