"""The SD probe: some cross-entropy lets the backdoor in, L_intra spreads the classes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.detect.l_intra import l_intra
from fctfast.models import ModelInfo
from fctfast.seeding import derive_seed
from fctfast.train import (
    Budget,
    FitSettings,
    Fitted,
    PassEnd,
    Progress,
    ScheduleSettings,
    Stage,
    cross_entropy,
    fit,
)
from fctfast.train.recipes import ModelSettings
from fctfast.train.stage import batch_bounds, unfold


@dataclass(frozen=True)
class ProbeSettings:
    """Network and budget of the probe; the defaults are the published ones.

    Args:
        network: architecture, width and stem; the probe always starts from random weights.
        learn: budget of cross-entropy, e_t = 2 epochs.
        spread: budget of L_intra, e_f = 10 epochs; `Budget(epochs=0)` leaves it out.
        fit: batch size, SGD and schedule, which L_intra continues.
        anchor: weight of the cross-entropy that L_intra has beside it, so that the classifier stays
            while classes are spread; 0, as published, is none. Alone, L_intra can shrink the
            features of most classes to nothing, the faster the larger the learning rate.
        segment: moments at which the probe can be scored lie this many steps of cross-entropy
            apart, and one after L_intra; None: one after each epoch of either.

    Source: paper appendix C.5; docs/method.md, "The SD module".
    """

    network: ModelSettings = field(default_factory=ModelSettings)
    learn: Budget = field(default_factory=lambda: Budget(epochs=2))
    spread: Budget = field(default_factory=lambda: Budget(epochs=10))
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(schedule=ScheduleSettings("cosine", t_max=100))
    )
    anchor: float = 0.0
    segment: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.anchor < math.inf:
            raise ValueError(f"anchor: expected a weight of at least 0, got {self.anchor}")
        if self.segment is not None and self.segment < 1:
            raise ValueError(f"segment: expected at least 1 step, got {self.segment}")

    def stages(self, data: ImageSet) -> list[Stage]:
        """Unfold the budgets into what :func:`fctfast.train.fit` runs."""
        budgets = [self.learn]
        if self.segment is not None:
            total = self.learn.steps(len(batch_bounds(len(data), self.fit.batch_size)))
            cuts = [*range(0, total, self.segment), total]
            budgets = [Budget(0, b - a, b - a) for a, b in itertools.pairwise(cuts)]
        stages = [Stage("probe", data, cross_entropy, budget) for budget in budgets]
        loss = AnchoredIntra(self.anchor) if self.anchor else intra_loss
        return [*stages, Stage("spread", data, loss, self.spread)]

    def moments(self, data: ImageSet) -> list[int]:
        """Number the passes after which the probe can be scored; empty if no step is bought."""
        passes = unfold(self.stages(data), self.fit.batch_size)
        if self.segment is None:
            return [one.index for one in passes]
        # A small set has several passes in a segment: only the last one ends it.
        return sorted({id(one.stage): one.index for one in passes}.values())


def describe(
    network: ModelSettings, data: ImageSet, mean: Sequence[float], std: Sequence[float]
) -> ModelInfo:
    """Say what network serves a set of images, in the words of a checkpoint.

    Args:
        network: architecture, width and stem.
        data: gives classes, channels and image size.
        mean: per channel, in [0, 1] units.
        std: per channel.

    Returns:
        A description whose `build(seed=...)` makes the network.
    """
    return ModelInfo(
        arch=network.name,
        num_classes=data.num_classes,
        width=network.width,
        in_channels=data.channels,
        image_size=data.image_size,
        stem=network.stem,
        mean=tuple(mean),
        std=tuple(std),
        class_names=data.class_names,
    )


def intra_loss(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """L_intra as a training loss; the classifier rests."""
    return l_intra(features, labels)


@dataclass(frozen=True)
class AnchoredIntra:
    """L_intra + anchor times cross-entropy, as a training loss.

    Args:
        anchor: the weight.
    """

    anchor: float

    def __call__(self, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of both on a batch."""
        return l_intra(features, labels) + self.anchor * cross_entropy(features, logits, labels)


def train_probe(
    data: ImageSet,
    settings: ProbeSettings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: Path | None = None,
    on_pass: Callable[[PassEnd], bool | None] | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> tuple[nn.Module, Fitted]:
    """Train the probe on the suspicious set, labels as given, without augmentation.

    Augmentation would hinder the backdoor, and a probe without the backdoor separates nothing.

    Args:
        data: the suspicious set.
        settings: network and budgets.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of initial weights and order.
        checkpoint: file to resume from after each pass; default none.
        on_pass: called after each pass; see :func:`fctfast.train.fit`.
        progress: where to report.
        device: "auto" or a torch device.

    Returns:
        The probe in eval mode, and its history.

    Source: paper, Algorithm 2, lines 1 to 5.
    """
    model = describe(settings.network, data, mean, std).build(seed=derive_seed(seed, "probe"))
    fitted = fit(
        model,
        settings.stages(data),
        settings=settings.fit,
        mean=mean,
        std=std,
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=on_pass,
        progress=progress,
        label="probe",
        device=device,
    )
    return model, fitted
