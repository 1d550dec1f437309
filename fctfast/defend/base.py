"""The base model of D-BR: plain supervised training on the suspicious set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.detect.probe import describe
from fctfast.models.pretrained import load_pretrained
from fctfast.seeding import derive_seed
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    Fitted,
    Progress,
    ScheduleSettings,
    Stage,
    cross_entropy,
    fit,
)
from fctfast.train.recipes import ModelSettings


@dataclass(frozen=True)
class BaseSettings:
    """Base training written down; the defaults are the published ones for CIFAR-10.

    Args:
        network: architecture, width, stem and pretrained weights.
        budget: passes over the data.
        fit: batch size, SGD, schedule.
        augment: random crop and flip.

    Source: the published code's training of its backdoored models.
    """

    network: ModelSettings = field(default_factory=ModelSettings)
    budget: Budget = field(default_factory=lambda: Budget(epochs=200))
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            schedule=ScheduleSettings("multistep", milestones=(100, 150))
        )
    )
    augment: AugmentSettings = field(default_factory=lambda: AugmentSettings(crop=4, flip=True))


def train_base(
    data: ImageSet,
    settings: BaseSettings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> tuple[nn.Module, Fitted]:
    """Train a classifier on the set as it is, backdoor and all.

    Args:
        data: the suspicious set.
        settings: network, budget, augmentation.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of initial weights, order and augmentation.
        checkpoint: file to resume from after each pass; default none.
        progress: where to report.
        device: "auto" or a torch device.

    Returns:
        The model in eval mode, last epoch, and its history.

    Source: paper Algorithm 4, line 2.
    """
    network = settings.network
    model = describe(network, data, mean, std).build(seed=derive_seed(seed, "base"))
    if network.pretrained:
        load_pretrained(model, network.pretrained, name=network.name)
    stage = Stage("base", data, cross_entropy, settings.budget, settings.augment)
    fitted = fit(
        model,
        stage,
        settings=settings.fit,
        mean=mean,
        std=std,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        label="base",
        device=device,
    )
    return model, fitted
